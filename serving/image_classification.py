"""The BentoML service of every project whose task is image classification."""

from serving.bento_service import TaskService, asgi_app, project, service, settings
from serving.image_application import ImageApplication, ImageState

state = ImageState()


@asgi_app(ImageApplication(state, settings))
@service
class ImageClassification(TaskService):
    def __init__(self) -> None:
        from serving import image_model
        from serving.image_log import ImageLog
        from serving.metrics import metrics

        stored = self.stored_model(ImageClassification)
        state.model = image_model.load(stored.folder, stored.version, stored.sha256)
        self.log = state.log = ImageLog(self.log_url(), project, metrics())
        self.started(state)

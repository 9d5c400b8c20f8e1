"""The BentoML service of every project whose task is image classification."""

from functools import cache
from typing import TYPE_CHECKING

from serving.bento_service import TaskService, project, service, settings

if TYPE_CHECKING:
    from serving.image_application import ImageApplication


@service
class ImageClassification(TaskService):
    @staticmethod
    @cache
    def application() -> "ImageApplication":
        from serving.image_application import ImageApplication, ImageState

        return ImageApplication(ImageState(), settings)

    def __init__(self) -> None:
        from serving import image_model, trial
        from serving.image_log import ImageLog
        from serving.image_trial import ImageTask
        from serving.metrics import metrics

        stored = self.stored_model(ImageClassification)
        state = self.application().state
        state.model = image_model.load(stored.folder, stored.version, stored.sha256)
        self.log = state.log = ImageLog(self.log_url(), project, metrics(), settings.capture)
        self.trial = state.trial = trial.begin(settings.trial, state, ImageTask(), self.log_url(), project)
        self.started(state)

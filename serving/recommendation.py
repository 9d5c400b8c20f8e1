"""The BentoML service of every project whose task is recommendation."""

from serving.bento_service import TaskService, asgi_app, project, service, settings
from serving.recommendation_application import RecommendationApplication, RecommendationState

state = RecommendationState()


@asgi_app(RecommendationApplication(state, settings))
@service
class Recommendation(TaskService):
    def __init__(self) -> None:
        from pipeline.core import model_package
        from pipeline.tasks.recommendation.data.recommender import Recommender
        from serving.metrics import metrics
        from serving.recommendation_log import RecommendationLog

        stored = self.stored_model(Recommendation)
        model_package.verify(stored.folder, stored.sha256)
        model = Recommender(stored.folder)
        model.version = stored.version
        self.log = log = RecommendationLog(self.log_url(), project, metrics())
        for events in log.stored_events():
            model.add_events(events)
        state.model, state.log = model, log
        self.started(state)

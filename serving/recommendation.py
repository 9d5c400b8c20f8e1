"""The BentoML service of every project whose task is recommendation."""

from functools import cache
from typing import TYPE_CHECKING

from serving.bento_service import TaskService, project, service, settings

if TYPE_CHECKING:
    from serving.recommendation_application import RecommendationApplication


@service
class Recommendation(TaskService):
    @staticmethod
    @cache
    def application() -> "RecommendationApplication":
        from serving.recommendation_application import RecommendationApplication, RecommendationState

        return RecommendationApplication(RecommendationState(), settings)

    def __init__(self) -> None:
        from pipeline.core import model_package
        from pipeline.tasks.recommendation.data.recommender import Recommender
        from serving import trial
        from serving.metrics import metrics
        from serving.recommendation_log import RecommendationLog
        from serving.recommendation_trial import RecommendationTask

        stored = self.stored_model(Recommendation)
        model_package.verify(stored.folder, stored.sha256)
        model = Recommender(stored.folder)
        model.version = stored.version
        self.log = log = RecommendationLog(self.log_url(), project, metrics())
        for events in log.stored_events():
            model.add_events(events)
        state = self.application().state
        state.model, state.log = model, log
        self.trial = state.trial = trial.begin(
            settings.trial, state, RecommendationTask(), self.log_url(), project
        )
        self.started(state)

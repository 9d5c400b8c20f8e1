"""The BentoML service of every project whose task is recommendation."""

from concurrent.futures import ThreadPoolExecutor
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

        stored = self.stored_model(Recommendation)
        with ThreadPoolExecutor(1) as beside:  # hashing needs a core, and not the interpreter
            verified = beside.submit(model_package.verify, stored.folder, stored.sha256)
            import scipy.sparse  # noqa: F401 - the recommender would with its first question

            from pipeline.tasks.recommendation.data.recommender import Recommender
            from serving import trial
            from serving.metrics import metrics
            from serving.recommendation_log import RecommendationLog
            from serving.recommendation_trial import RecommendationTask
        verified.result()
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

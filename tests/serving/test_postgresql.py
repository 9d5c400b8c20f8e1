"""The log in a real PostgreSQL: the tests of the prediction log, of events and of trials, once more."""

import pytest

from tests.serving.postgresql import Server
from tests.serving.test_prediction_log import (  # noqa: F401
    test_a_row_that_cannot_be_stored_keeps_no_other_from_it,
    test_everything_added_is_there_after_closing,
    test_feedback_finds_a_prediction_that_still_waits,
    test_feedback_of_another_project_is_unknown,
    test_no_prediction_has_an_id_that_was_never_given,
    test_of_many_at_once_one_feedback_wins,
    test_reading_by_time,
    test_recommendations_and_events_by_time,
    test_rows_are_written_while_the_service_runs,
)
from tests.serving.test_recommendation_events import (  # noqa: F401
    test_a_restart_forgets_nothing,
    test_events_are_stored_and_live,
    test_feedback_is_stored_and_the_next_answer_knows_of_it,
    test_feedback_of_nobody_is_stored_and_changes_no_customer,
    test_the_most_events_are_stored_in_order,
    test_the_same_feedback_again_counts_once,
)
from tests.serving.test_trial import (  # noqa: F401
    test_a_batch_is_one_request_of_the_trial_with_a_row_each,
    test_a_restart_forgets_no_failure,
    test_a_stop_holds_after_a_restart_until_a_person_lifts_it,
    test_each_answer_names_the_version_that_made_it,
    test_whatever_an_error_says_its_stop_is_kept,
    tried,
)


@pytest.fixture
def log_url(postgresql: Server) -> str:
    return postgresql.emptied()

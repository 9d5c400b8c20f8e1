"""A challenger on real requests: who gets it, that it breaks nothing, when and for how long it is stopped."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import sqlalchemy
from pydantic import ValidationError

from pipeline.core.statistics import wilson_interval
from pipeline.log import prediction_log, trial_log
from serving.application import PREDICTION_THREADS
from serving.image_application import ImageApplication, ImageState
from serving.image_model import ImageModel
from serving.recommendation_application import RecommendationApplication, RecommendationState
from serving.recommendation_trial import RecommendationTask
from serving.trial import CANARY_THREADS
from serving.trial import begin as begin_trial
from serving.trial_judge import Judge
from serving.trial_log import Tried
from serving.trial_metrics import trial_metrics
from tests.serving import trials
from tests.serving.answers import recommended
from tests.serving.asgi_client import AsgiClient
from tests.serving.fake_recommender import FakeRecommender
from tests.serving.synthetic import SETTINGS, SHOP_SETTINGS

PIXELS = {"pixels": (np.arange(784) % 256).reshape(28, 28).tolist()}
IMAGE = np.zeros((1, 1, 28, 28), np.uint8)


@pytest.fixture
def tried(state: ImageState) -> Iterator[ImageState]:
    yield state
    if state.trial is not None:
        state.trial.close()


def ask(state: ImageState, key: str | None = None) -> dict[str, Any]:
    headers = {} if key is None else {"x-session-id": key}
    response = AsgiClient(ImageApplication(state, SETTINGS)).post("/predict", json=PIXELS, headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def rows(state: ImageState, role: str, least: int = 1) -> list[dict[str, Any]]:
    """Of the log, once there are so many."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        read = trial_log.read_trials(state.log.url, "digits", "c" * 64, None)
        found[:] = [row for row in read if row["role"] == role]
        return len(found) >= least

    trials.wait_until(there)
    return found


def test_a_shadow_is_logged_beside_the_answer_that_the_client_saw(tried: ImageState) -> None:
    tried.challenger = trials.odd(tried.model, lambda images: tried.model.probabilities(images)[:, ::-1])
    trials.begin(tried, mode="shadow", share=1.0, warmup_answers=0)
    answer = ask(tried)
    assert answer["model"]["version"] == "3"
    (row,) = rows(tried, "shadow")
    assert row["prediction_id"] == answer["prediction_id"]
    assert (row["model_version"], row["champion_version"], row["error"]) == ("4", "3", None)
    assert row["answer"]["label"] == str(9 - int(answer["label"]))
    assert row["latency_ms"] > 0 and row["champion_ms"] > 0


def test_what_no_client_saw_is_no_production_answer(tried: ImageState) -> None:
    tried.challenger = trials.alike(tried.model)
    trials.begin(tried, mode="shadow", share=1.0)
    ids = {ask(tried)["prediction_id"] for _ in range(5)}
    rows(tried, "shadow", least=5)
    trials.wait_until(lambda: not tried.log.pending)
    read = prediction_log.read_predictions(tried.log.url, project="digits")
    assert {row["id"] for row in read} == ids and len(read) == 5
    assert {row["model_version"] for row in read} == {"3"}


def test_a_batch_is_one_request_of_the_trial_with_a_row_each(tried: ImageState) -> None:
    tried.challenger = trials.alike(tried.model)
    trials.begin(tried, mode="shadow", share=1.0)
    client = AsgiClient(ImageApplication(tried, SETTINGS))
    answers = client.post("/predict_batch", json={"items": [PIXELS] * 3}).json()["predictions"]
    found = rows(tried, "shadow", least=3)
    assert {row["prediction_id"] for row in found} == {answer["prediction_id"] for answer in answers}
    assert sorted(row["part"] for row in found) == [0, 1, 2]
    assert len({row["unit"] for row in found}) == 1


def test_the_same_client_gets_the_same_model_and_the_stated_share_gets_the_canary(tried: ImageState) -> None:
    tried.challenger = trials.alike(tried.model)
    trial = trials.begin(tried, mode="canary", share=0.2)

    def role(key: str | None) -> str | None:
        asked = trial.asked(tried.model, key)
        return None if asked is None else asked.role

    first = {f"client-{i}": role(f"client-{i}") for i in range(2000)}
    assert first == {key: role(key) for key in first}
    for counted in (Counter(first.values()), Counter(role(None) for _ in range(2000))):
        for group in ("canary", "control"):
            low, high = wilson_interval(counted[group], 2000)
            assert low - 0.01 < 0.2 < high + 0.01


def test_each_trial_picks_other_clients(tried: ImageState) -> None:
    keys = [f"client-{i}" for i in range(300)]
    tried.challenger = trials.alike(tried.model)
    picked = []
    for salt in ("one", "two"):
        trial = trials.begin(tried, mode="canary", share=0.5, salt=salt)
        roles = {key: trial.asked(tried.model, key) for key in keys}
        picked.append({key for key, asked in roles.items() if asked and asked.role == "canary"})
        trial.close()
    assert 0.3 < len(picked[0] & picked[1]) / len(picked[0]) < 0.7


def test_each_answer_names_the_version_that_made_it(tried: ImageState) -> None:
    tried.challenger = trials.odd(tried.model, lambda images: tried.model.probabilities(images)[:, ::-1])
    trials.begin(tried, mode="canary", share=0.5)
    by_version: dict[str, set[str]] = {}
    shown = {}
    for i in range(60):
        answer = ask(tried, f"client-{i}")
        by_version.setdefault(answer["model"]["version"], set()).add(answer["label"])
        shown[answer["prediction_id"]] = answer["model"]["version"]
    assert {version: len(labels) for version, labels in by_version.items()} == {"3": 1, "4": 1}
    assert by_version["3"] != by_version["4"]
    trials.wait_until(lambda: not tried.log.pending)
    logged = prediction_log.read_predictions(tried.log.url, project="digits")
    assert {row["id"]: row["model_version"] for row in logged} == shown
    canaries = rows(tried, "canary", least=sum(version == "4" for version in shown.values()))
    assert all(row["champion_answer"]["label"] in by_version["3"] for row in canaries)


def not_a_number(images: np.ndarray) -> np.ndarray:
    return np.full((len(images), 10), np.nan, np.float32)


@pytest.mark.parametrize(
    ("compute", "told"),
    [
        (trials.broken, "RuntimeError: the network is broken"),
        (not_a_number, "the answer holds what is no finite number"),
        (lambda images: np.ones((1, 3)), "the answer to 1 images has the shape (1, 3)"),
    ],
)
def test_a_broken_canary_costs_nobody_an_answer_and_is_stopped(
    tried: ImageState, compute: trials.Compute, told: str
) -> None:
    tried.challenger = trials.odd(tried.model, compute)
    trial = trials.begin(tried, mode="canary", share=0.5)
    for i in range(40):
        assert ask(tried, f"client-{i}")["model"]["version"] == "3"
    described = trial.describe()
    assert described["state"] == "stopped" and told in described["why"]
    model = AsgiClient(ImageApplication(tried, SETTINGS)).get("/model").json()
    assert model["trial"] == described
    failed = rows(tried, "canary")
    assert {row["error"] for row in failed} == {told} and len(failed) <= 3
    trials.wait_until(lambda: not tried.log.pending)
    logged = prediction_log.read_predictions(tried.log.url, project="digits")
    assert {row["prediction_id"] for row in failed} <= {row["id"] for row in logged}


def test_a_canary_that_hangs_holds_a_client_no_longer_than_allowed(tried: ImageState) -> None:
    forever = threading.Event()

    def hang(images: np.ndarray) -> np.ndarray:
        forever.wait(20)
        return tried.model.probabilities(images)

    tried.challenger = trials.odd(tried.model, hang)
    trial = trials.begin(tried, mode="canary", share=0.5, timeout_ms=50)
    start = time.monotonic()
    for i in range(20):
        ask(tried, f"client-{i}")
    assert trial.describe()["state"] == "stopped"
    assert time.monotonic() - start < 5
    forever.set()


def test_a_client_of_a_canary_waits_behind_nobody_for_whom_others_need_not_wait(tried: ImageState) -> None:
    """All threads that large requests take are busy: one picture is answered past them, whoever asks."""
    tried.challenger = trials.alike(tried.model)
    trials.begin(tried, mode="canary", share=0.5)
    application = ImageApplication(tried, SETTINGS)
    release = threading.Event()
    for _ in range(PREDICTION_THREADS):
        ThreadPoolExecutor.submit(application.predicting, release.wait, 2)
    client = AsgiClient(application)
    start, versions = time.monotonic(), set()
    for i in range(20):
        response = client.post("/predict", json=PIXELS, headers={"x-session-id": f"client-{i}"})
        assert response.status_code == 200, response.text
        versions.add(response.json()["model"]["version"])
    assert time.monotonic() - start < 1.5
    assert versions == {"3", "4"}
    release.set()


def test_beside_a_canary_that_is_busy_the_champion_answers(tried: ImageState) -> None:
    release = threading.Event()

    def slow(images: np.ndarray) -> np.ndarray:
        release.wait(10)
        return tried.model.probabilities(images)

    tried.challenger = trials.odd(tried.model, slow)
    trial = trials.begin(tried, mode="canary", share=0.5, timeout_ms=5000)
    asked = next(
        found for i in range(99) if (found := trial.asked(tried.model, str(i))) and found.role == "canary"
    )
    threads = [threading.Thread(target=asked.answer, args=(IMAGE,)) for _ in range(CANARY_THREADS)]
    for thread in threads:
        thread.start()
    trials.wait_until(lambda: not asked.has_room())
    start = time.monotonic()
    assert {ask(tried, f"client-{i}")["model"]["version"] for i in range(20)} == {"3"}
    assert time.monotonic() - start < 4
    release.set()
    for thread in threads:
        thread.join()
    assert asked.has_room()


def test_a_slow_shadow_slows_nobody_and_its_queue_ends(tried: ImageState) -> None:
    asked, release = [], threading.Event()

    def slow(images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        release.wait(20)
        return tried.model.probabilities(images)

    tried.challenger = trials.odd(tried.model, slow)
    trial = trials.begin(tried, mode="shadow", share=1.0, waiting_max=5, timeout_ms=60_000)
    start = time.monotonic()
    for _ in range(30):
        given = trial.asked(tried.model, None)
        assert given is not None
        given.shown(IMAGE, ["0" * 32], datetime.now(UTC))
    assert time.monotonic() - start < 10
    trials.wait_until(lambda: asked)
    assert trial._waiting <= 5
    release.set()
    assert len(rows(tried, "shadow", least=5)) == 5


def test_a_stop_holds_after_a_restart_until_a_person_lifts_it(tried: ImageState) -> None:
    tried.challenger = trials.odd(tried.model, trials.broken)
    first = trials.begin(tried, mode="shadow", share=1.0)
    while first.describe()["state"] == "running":
        ask(tried)
    why = first.describe()["why"]
    first.close()
    second = trials.begin(tried, mode="canary", share=0.5)
    assert second.describe()["why"] == why
    assert all(second.asked(tried.model, f"client-{i}") is None for i in range(50))
    engine = prediction_log.engine(tried.log.url)
    with engine.begin() as connection:
        assert trial_log.lift(connection, "digits", "c" * 64, "the disk was full") == 1
    engine.dispose()
    trials.wait_until(lambda: second.describe()["state"] == "running")
    assert any(second.asked(tried.model, f"client-{i}") for i in range(50))


def test_a_restart_forgets_no_failure(tried: ImageState) -> None:
    turn = iter(range(1000))

    def sometimes(images: np.ndarray) -> np.ndarray:
        return trials.broken(images) if next(turn) in (5, 25) else tried.model.probabilities(images)

    tried.challenger = trials.odd(tried.model, sometimes)
    for asked in (20, 40):
        trial = trials.begin(tried, mode="shadow", share=1.0)
        for _ in range(20):
            ask(tried)
        rows(tried, "shadow", least=asked)
        trial.close()
    log = trials.begin(tried, mode="shadow", share=1.0)._watch.running
    assert log is not None
    judge = log.judge
    assert (judge._errors._windows[0].bad, judge._errors._windows[0].judged) == (2, 40)


def test_a_stop_is_known_to_other_processes(tried: ImageState, model: ImageModel) -> None:
    tried.challenger = trials.odd(model, trials.broken)
    other = ImageState()
    other.model, other.log, other.challenger = model, tried.log, tried.challenger
    beside = trials.begin(other, mode="canary", share=0.5)
    trials.begin(tried, mode="canary", share=0.5)
    for i in range(20):
        ask(tried, f"client-{i}")
    trials.wait_until(lambda: beside.describe()["state"] == "stopped")
    beside.close()


@pytest.mark.parametrize("attribute", ["classes", "image"])
def test_a_challenger_that_speaks_otherwise_is_not_tried(tried: ImageState, attribute: str) -> None:
    alike = trials.alike(tried.model)
    other = {"classes": ("a", "b"), "image": (3, 32, 32)}[attribute]
    object.__setattr__(alike, attribute, other)
    tried.challenger = alike
    made = begin_trial(
        trials.settings(mode="canary"), tried, trials.ImageTask(), tried.log.url, tried.log.project
    )
    assert made is not None
    tried.trial = made
    trials.wait_until(lambda: "cannot be held against" in made.describe()["why"])
    assert made.describe()["challenger"] is None
    assert all(made.asked(tried.model, str(i)) is None for i in range(30))


def test_nothing_is_tried_while_the_log_cannot_say_whether_it_was_stopped(
    model: ImageModel, tmp_path: Any
) -> None:
    (tmp_path / "file").write_text("no folder")
    state = ImageState()
    state.model, state.challenger = model, trials.alike(model)
    trial = begin_trial(
        trials.settings(mode="canary"),
        state,
        trials.ImageTask(),
        f"sqlite:///{tmp_path}/file/log.db",
        "digits",
    )
    assert trial is not None
    trials.wait_until(lambda: "log cannot be read" in trial.describe()["why"])
    assert all(trial.asked(model, str(i)) is None for i in range(30))
    trial.close()


def test_a_trial_pauses_while_the_log_cannot_be_read(
    tried: ImageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been stopped elsewhere meanwhile."""
    tried.challenger = trials.alike(tried.model)
    trial = trials.begin(tried, mode="canary", share=0.5)

    def away(*_: Any) -> Any:
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception("the database is away"))

    def has_a_part() -> bool:
        return any(trial.asked(tried.model, str(i)) for i in range(30))

    assert has_a_part()
    with monkeypatch.context() as broken:
        broken.setattr(trial_log, "standing", away)
        trials.wait_until(lambda: not has_a_part())
        assert "log cannot be read" in trial.describe()["why"]
        assert (trial.describe()["challenger"], trial.describe()["state"]) == (None, "waiting")
    trials.wait_until(has_a_part)
    assert trial.describe()["state"] == "running"


def test_the_alarm_of_a_stop_ends_with_the_trial(tried: ImageState) -> None:
    tried.challenger = trials.odd(tried.model, trials.broken, version="stopped")
    trial = trials.begin(tried, mode="shadow", share=1.0)
    while trial.describe()["state"] == "running":
        ask(tried)
    stopped = trial_metrics().stopped.labels("stopped")
    assert stopped._value.get() == 1
    tried.challenger = None  # a person has withdrawn it
    trials.wait_until(lambda: stopped._value.get() == 0)


def test_whatever_an_error_says_its_stop_is_kept(tried: ImageState) -> None:
    """Databases refuse some of it, and what is too long; a stop that is not written ends with the process."""

    def shouts(_: np.ndarray) -> np.ndarray:
        raise RuntimeError("a\0b \udcff " + "x" * 100_000)

    tried.challenger = trials.odd(tried.model, shouts)
    trial = trials.begin(tried, mode="shadow", share=1.0)
    while trial.describe()["state"] == "running":
        ask(tried)

    def kept() -> str | None:
        return trial_log.read_standing(tried.log.url, "digits", "c" * 64).stopped

    trials.wait_until(kept)
    why = kept()
    assert why is not None and "the last: RuntimeError: a b" in why and len(why) < 2000
    assert why.isprintable()
    assert {row["error"] for row in rows(tried, "shadow")} == {why.partition("the last: ")[2]}


def test_the_control_group_is_logged_however_much_waits(tried: ImageState) -> None:
    """Left out at rush hours alone, it would be held against a canary of other hours."""
    release = threading.Event()

    def slow(images: np.ndarray) -> np.ndarray:
        release.wait(10)
        return quick.probabilities(images)

    quick = tried.model
    tried.model, tried.challenger = trials.odd(quick, slow, "3"), trials.alike(quick)
    object.__setattr__(tried.model, "sha256", "a" * 64)
    trial = trials.begin(tried, mode="canary", share=0.5, waiting_max=2)
    given = [asked for i in range(40) if (asked := trial.asked(tried.model, f"client-{i}"))]
    for asked in given:
        part = replace(asked, tried=Tried(np.ones((1, 10)), 1.0, None)) if asked.role == "canary" else asked
        part.shown(IMAGE, ["0" * 32], datetime.now(UTC))
    roles = Counter(asked.role for asked in given)
    assert roles["control"] > 5
    release.set()
    for role in ("canary", "control"):
        assert len(rows(tried, role, least=roles[role])) == roles[role]


def test_an_empty_key_is_none(tried: ImageState) -> None:
    """What a proxy sends of a client without a session: they are not all one client."""
    tried.challenger = trials.odd(tried.model, lambda images: tried.model.probabilities(images)[:, ::-1])
    trials.begin(tried, mode="canary", share=0.5)
    assert {ask(tried, "")["model"]["version"] for _ in range(60)} == {"3", "4"}


@pytest.mark.parametrize(("mode", "share"), [("shadow", 1.0), ("canary", 0.5)])
def test_who_takes_long_where_the_champion_does_has_not_failed(
    tried: ImageState, mode: str, share: float
) -> None:
    """A batch that takes either of them longer than is allowed."""
    quick = tried.model

    def slow(images: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return quick.probabilities(images)

    tried.model, tried.challenger = trials.odd(quick, slow, version="3"), trials.odd(quick, slow)
    object.__setattr__(tried.model, "sha256", "a" * 64)
    trial = trials.begin(tried, mode=mode, share=share, timeout_ms=20)
    for i in range(12):
        ask(tried, f"client-{i}")
    found = rows(tried, mode, least=12 if mode == "shadow" else 3)
    assert trial.describe()["state"] == "running", trial.describe()["why"]
    assert {row["error"] for row in found} == {None}


def test_neither_model_is_always_the_first_to_be_asked(tried: ImageState) -> None:
    """The second finds caches warm: of two that are the same, each is as often the slower one."""
    turns: list[str] = []
    quick = tried.model

    def noted(name: str) -> trials.Compute:
        def compute(images: np.ndarray) -> np.ndarray:
            turns.append(name)
            return quick.probabilities(images)

        return compute

    tried.model, tried.challenger = trials.odd(quick, noted("old"), "3"), trials.odd(quick, noted("new"))
    object.__setattr__(tried.model, "sha256", "a" * 64)
    trial = trials.begin(tried, mode="shadow", share=1.0)
    for _ in range(64):
        asked = trial.asked(tried.model, None)
        assert asked is not None
        asked.shown(IMAGE, ["0" * 32], datetime.now(UTC))
    trials.wait_until(lambda: len(turns) == 128)
    assert 12 < sum(first == "new" for first in turns[::2]) < 52
    assert all({one, other} == {"old", "new"} for one, other in zip(turns[::2], turns[1::2], strict=True))


def test_an_existing_log_gets_the_new_tables_and_keeps_its_rows(tried: ImageState) -> None:
    kept = ask(tried)["prediction_id"]
    trials.wait_until(lambda: not tried.log.pending)
    engine = sqlalchemy.create_engine(tried.log.url)
    trial_log.trials.drop(engine)
    trial_log.trial_stops.drop(engine)
    tried.challenger = trials.alike(tried.model)
    trials.begin(tried, mode="shadow", share=1.0)
    ask(tried)
    rows(tried, "shadow")
    assert kept in {row["id"] for row in prediction_log.read_predictions(tried.log.url)}
    engine.dispose()


def test_a_trial_that_is_off_is_none(state: ImageState) -> None:
    off = trials.settings(mode=False)  # what YAML 1.1 makes of a bare `off`
    assert begin_trial(off, state, trials.ImageTask(), state.log.url, "digits") is None
    assert "trial" not in AsgiClient(ImageApplication(state, SETTINGS)).get("/model").json()


def test_a_canary_leaves_room_for_its_control() -> None:
    with pytest.raises(ValidationError, match=r"a canary takes 0\.5 at most"):
        trials.settings(mode="canary", share=0.6)


def judged(judge: Judge, times: list[tuple[float, float]]) -> str:
    return next(filter(None, (judge.timed(*pair) for pair in times)), "")


def test_times_are_judged_against_the_champion_on_the_same_question() -> None:
    rng = np.random.default_rng(1)
    noise = rng.lognormal(0, 0.3, (3000, 2))
    limits = SETTINGS.trial
    assert judged(Judge(limits), [(a, b) for a, b in noise]) == ""
    slower = judged(Judge(limits), [(3 * a, b) for a, b in noise[:500]])
    assert "times the champion's time" in slower
    # One answer in twenty takes 80 ms where 50 are allowed: of the challenger alone, or of both.
    slow = np.where(rng.random((2000, 2)) < 0.05, 80.0, 2.0)
    assert judged(Judge(limits), [(a, b) for a, b in slow]) == ""
    alone = judged(Judge(limits), [(a, 2.0) for a in slow[:, 0]])
    assert "took over 50 ms where the champion took less" in alone


class Recommends(FakeRecommender):
    version, sha256 = "8", "c" * 64


class Breaks(Recommends):
    def recommend(self, asks: Any, now: Any = None) -> Any:
        raise RuntimeError("no")


def shop_trial(state: RecommendationState, **changes: Any) -> Any:
    task = RecommendationTask()
    trial = begin_trial(trials.settings(**changes), state, task, state.log.url, state.log.project)
    assert trial is not None
    state.trial = trial
    trials.wait_until(lambda: trial.describe()["state"] == "running")
    return trial


def test_a_customer_stays_with_his_recommender_on_every_device(shop_state: RecommendationState) -> None:
    shop_state.challenger = Recommends()
    trial = shop_trial(shop_state, mode="canary", share=0.5)
    shop = AsgiClient(RecommendationApplication(shop_state, SHOP_SETTINGS))
    answered = {}
    for customer in range(1, 31):
        versions = set()
        for headers in ({}, {"x-session-id": "phone"}, {"x-session-id": "till"}):
            response = shop.post("/recommend", json={"customer_id": customer}, headers=headers)
            versions.add(response.json()["model"]["version"])
        (answered[customer],) = versions
    assert set(answered.values()) == {"7", "8"}
    trial.close()
    logged = prediction_log.read_recommendations(shop_state.log.url, project="shop")
    assert {row["model_version"] for row in logged} <= {"7", "8"}


def test_a_broken_recommender_costs_nobody_an_answer(shop_state: RecommendationState) -> None:
    shop_state.challenger = Breaks()
    trial = shop_trial(shop_state, mode="canary", share=0.5)
    shop = AsgiClient(RecommendationApplication(shop_state, SHOP_SETTINGS))
    for customer in range(1, 31):
        assert recommended(shop, customer_id=customer)["model"]["version"] == "7"
    assert trial.describe()["state"] == "stopped"
    trial.close()


def test_a_challenger_hears_of_events_once(shop_state: RecommendationState) -> None:
    shop_state.challenger = challenger = Recommends()
    challenger.live = shop_state.model.live  # type: ignore[attr-defined]  # as a successor's are the model's own
    shop = AsgiClient(RecommendationApplication(shop_state, SHOP_SETTINGS))
    event = {"customer_id": 1, "product_id": 1001, "kind": "purchase"}
    assert shop.post("/events", json={"events": [event]}).status_code == 200
    shown = recommended(shop, customer_id=2)
    feedback = {
        "prediction_id": shown["prediction_id"],
        "product_id": shown["items"][0]["product_id"],
        "event": "cart",
    }
    assert shop.post("/feedback", json=feedback).status_code == 200
    assert [event.kind for event in challenger.live] == ["purchase", "cart"]

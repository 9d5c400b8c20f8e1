"""Forecast: before the long training, will the goal be reached, and if not, how much data would it take?

Reads   data/P/prepared/{train,val}/
Writes  reports/P/forecast.json, reports/P/learning_curve.png
Params  goals, collect, forecast
"""

from pipeline.core.artifacts import write_json, writing_file
from pipeline.core.gates import Gate
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("goals", "collect", "forecast")


def run(context: Context) -> Evidence:
    reports = context.paths.reports
    picture = reports / "learning_curve.png"
    with writing_file(picture) as partial:
        forecast = context.hook().forecast(context.params, context.paths.prepared, partial)
    write_json(reports / "forecast.json", forecast)
    low, high = forecast["score_interval"]
    needed = forecast["items_needed"]
    remedy = (
        f"about {needed:,} {forecast['unit']} are forecast to be needed; collect more, or lower the goal."
        if needed
        else "more data alone is not forecast to reach the goal; mend labels, change the network or the goal."
    )
    return Evidence(
        summary=f"{forecast['score']:.4f} [{low:.4f}, {high:.4f}] forecast with all "
        f"{forecast['items']:,} {forecast['unit']} (goal {forecast['goal']:.4f})",
        metrics={"score": forecast["score"], "score_low": low, "score_high": high},
        gates=(Gate("goal_within_reach", high, "at least", forecast["goal"], "data", remedy, (low, high)),),
        files=(picture,),
        blocking=True,
    )


if __name__ == "__main__":
    main(run, PARAMS)

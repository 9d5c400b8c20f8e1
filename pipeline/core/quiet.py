"""No component phones home: switches that must be in the environment before a library is imported."""

import logging
import os
import warnings

SWITCHES = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "false",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "DVC_NO_ANALYTICS": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime 1.31 sends from Linux, too
}


# Loggers that advertise, or tell at every start what a user need not know.
CHATTY = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
    "torch.onnx",
    "mlflow.store.db.utils",
    "mlflow.system_metrics.system_metrics_monitor",
    "alembic",
    "great_expectations",
)


def silence() -> None:
    """Sets the switches for this process and the ones that it starts, and quiets chatty loggers."""
    os.environ.update(SWITCHES)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Lightning 2.6 uses a function of torch 2.13 that is to go; nothing a user can do about it.
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*You defined a `validation_step`.*")

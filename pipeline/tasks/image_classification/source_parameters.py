"""What params.yaml says of a source of images: how it is brought, and how it is read."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.parameters import FileSource, PypiSource, Strict


class Reading(Strict):
    """What every source of images says beside how it is brought."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    licence: str
    format: Literal["mnist_pickle", "idx"]
    idx_md5: dict[Literal["train_images", "train_labels", "test_images", "test_labels"], str]


class PypiImages(Reading, PypiSource):
    pass


class FileImages(Reading, FileSource):
    pass


Source = Annotated[PypiImages | FileImages, Field(discriminator="kind")]

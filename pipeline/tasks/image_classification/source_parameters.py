"""What params.yaml says of a source of images: how it is brought, and how it is read."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.parameters import DvcSource, FileSource, FolderSource, PypiSource, Strict, UrlSource


class Reading(Strict):
    """What every source of images says beside how it is brought."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    licence: str


class Arrays(Reading):
    """One published file with all images, of one size, and their labels."""

    format: Literal["mnist_pickle", "idx"]
    idx_md5: dict[Literal["train_images", "train_labels", "test_images", "test_labels"], str]


class Pictures(Reading):
    """A folder of PNG and JPEG files of any size.

    pixels_max: of one file; more is refused before it is decoded. Below the size at which Pillow itself
    takes a file for a decompression bomb.
    """

    pixels_max: int = Field(ge=64, le=80_000_000)


class ClassFolders(Pictures):
    """One folder a class."""

    format: Literal["folder"]


class LabelColumns(Strict):
    """How the table's columns are called. part: train, test or nothing; group: images of one group (a
    person, a scene, ...) stay on one side of the split. null: there is no such column."""

    file: str
    label: str
    part: str | None
    group: str | None


class LabelTable(Pictures):
    """labels: a .csv or .parquet file inside the folder, a row an image; files are relative to the folder."""

    format: Literal["table"]
    labels: str = Field(pattern=r"\.(csv|parquet)$")
    columns: LabelColumns


class PypiImages(Arrays, PypiSource):
    pass


class FileImages(Arrays, FileSource):
    pass


class UrlImages(Arrays, UrlSource):
    pass


class FolderOfClasses(ClassFolders, FolderSource):
    pass


class FolderWithTable(LabelTable, FolderSource):
    pass


class DvcOfClasses(ClassFolders, DvcSource):
    pass


class DvcWithTable(LabelTable, DvcSource):
    pass


FolderImages = Annotated[FolderOfClasses | FolderWithTable, Field(discriminator="format")]
DvcImages = Annotated[DvcOfClasses | DvcWithTable, Field(discriminator="format")]
Source = Annotated[
    PypiImages | FileImages | UrlImages | FolderImages | DvcImages, Field(discriminator="kind")
]

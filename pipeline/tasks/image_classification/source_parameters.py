"""What params.yaml says of a source of images: how it is brought, and how it is read."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipeline.core.parameters import Strict
from pipeline.core.source_parameters import (
    DvcSource,
    FileSource,
    FolderSource,
    InboxSource,
    PypiSource,
    UrlSource,
)


class Reading(Strict):
    """What every source of images says beside how it is brought."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    licence: str


class Arrays(Reading):
    """One published file with all images, of one size, and their labels."""

    format: Literal["mnist_pickle", "idx"]
    idx_md5: dict[Literal["train_images", "train_labels", "test_images", "test_labels"], str]


class Pictures(Reading):
    """A folder of PNG and JPEG files of any size, or an archive of one.

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


class Archive(Strict):
    """How a zip or tar of pictures is unpacked (pipeline/core/archives.py). within: folder inside of it that
    stands for the source's folder, null: its top. member_mib_max, total_mib_max: MiB unpacked, of one file
    (more is left out and named) and of all (more is not used); each file counts 4 KiB at least."""

    within: str | None = Field(pattern=r"^[^/\\.][^/\\]*(/[^/\\.][^/\\]*)*$")
    member_mib_max: float = Field(gt=0)
    total_mib_max: float = Field(gt=0)


class ArchivedPictures(Strict):
    """The pictures stand in one file."""

    archive: Archive


class PypiImages(Arrays, PypiSource):
    pass


class FileImages(Arrays, FileSource):
    pass


class UrlImages(Arrays, UrlSource):
    pass


class PypiOfClasses(ArchivedPictures, ClassFolders, PypiSource):
    pass


class PypiWithTable(ArchivedPictures, LabelTable, PypiSource):
    pass


class FileOfClasses(ArchivedPictures, ClassFolders, FileSource):
    pass


class FileWithTable(ArchivedPictures, LabelTable, FileSource):
    pass


class UrlOfClasses(ArchivedPictures, ClassFolders, UrlSource):
    pass


class UrlWithTable(ArchivedPictures, LabelTable, UrlSource):
    pass


class FolderOfClasses(ClassFolders, FolderSource):
    pass


class FolderWithTable(LabelTable, FolderSource):
    pass


class DvcOfClasses(ClassFolders, DvcSource):
    pass


class DvcWithTable(LabelTable, DvcSource):
    pass


class InboxImages(Pictures, InboxSource):
    format: ClassVar[str] = "captures"


PypiPictures = Annotated[PypiImages | PypiOfClasses | PypiWithTable, Field(discriminator="format")]
FilePictures = Annotated[FileImages | FileOfClasses | FileWithTable, Field(discriminator="format")]
UrlPictures = Annotated[UrlImages | UrlOfClasses | UrlWithTable, Field(discriminator="format")]
FolderImages = Annotated[FolderOfClasses | FolderWithTable, Field(discriminator="format")]
DvcImages = Annotated[DvcOfClasses | DvcWithTable, Field(discriminator="format")]
Source = Annotated[
    PypiPictures | FilePictures | UrlPictures | FolderImages | DvcImages | InboxImages,
    Field(discriminator="kind"),
]

"""The tables of NIH, CheXpert, RSNA and MIMIC-CXR in the form in which they are distributed."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from carina.datasets.dicom_headers import patient_of_name
from carina.datasets.folder_words import published_split
from carina.datasets.importing import import_dataset
from carina.datasets.listing import Listing, list_source
from carina.errors import DataError
from carina.findings import LUNG_OPACITY, NORMAL
from make import make_sheet, touch_images
from make_dicom import encode_dicom


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def rows(listing: Listing, *columns: Any) -> dict[str, Any]:
    """Return the images by their file names."""
    return {Path(row["path"]).name: tuple(row[name] for name in columns) for row in listing.images.to_dicts()}


def said(listing: Listing) -> str:
    return " ".join(listing.notes)


NIH = """Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,\
OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],
00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143,
00000001_001.png,Cardiomegaly|Emphysema,1,1,058Y,M,PA,2894,2729,0.143,0.143,
00000002_000.png,No Finding,0,2,081Y,M,AP,2500,2048,0.171,0.171,
00000003_000.png,Hernia,0,3,411,F,PA,2582,2991,0.143,0.143,
"""


@pytest.fixture
def nih(tmp_path: Path) -> Path:
    folder = tmp_path / "nih"
    write(folder, "Data_Entry_2017.csv", NIH)
    write(folder, "train_val_list.txt", "00000001_000.png\n00000001_001.png\n00000003_000.png\n")
    write(folder, "test_list.txt", "00000002_000.png\n")
    touch_images(folder / "images_001" / "images", "00000001_000.png", "00000001_001.png", "00000002_000.png")
    touch_images(folder / "images_002" / "images", "00000003_000.png")
    return folder


@pytest.mark.parametrize("name", [".", "Data_Entry_2017.csv"])
def test_nih(nih: Path, name: str) -> None:
    listing = list_source(nih / name, labels_as="nih")
    assert rows(listing, "finding", "patient", "age", "sex", "view", "split") == {
        "00000001_000.png": ("Cardiomegaly", "1", 58.0, "M", "PA", "train_val"),
        "00000002_000.png": (NORMAL, "2", 81.0, "M", "AP", "test"),
        "00000003_000.png": ("Hernia", "3", None, "F", "PA", "train_val"),
    }
    assert listing.images["path"][0] == str(nih / "images_001" / "images" / "00000001_000.png")
    assert listing.images["mask"].null_count() == 3
    assert "1 image was left out, since several findings are named: Cardiomegaly|Emphysema (1)." in said(listing)
    assert "The age was left empty in 1 row, first in row 5" in said(listing)
    assert listing.choices.labels_as == "nih"


def test_nih_of_2020_with_images_elsewhere_and_no_lists(nih: Path, tmp_path: Path) -> None:
    header, *lines = NIH.splitlines()
    header = header.replace("OriginalImage[Width,Height]", "OriginalImageWidth,OriginalImageHeight").replace(
        "OriginalImagePixelSpacing[x,y],", "OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y"
    )
    text = "\n".join([header, *(line.rstrip(",").replace("058Y", "58") for line in lines)])
    table = write(tmp_path / "tables", "Data_Entry_2017_v2020.csv", text)
    listing = list_source(nih, labels=table, labels_as="nih", rename={"Cardiomegaly": "Heart", "Emphysema": "Heart"})
    assert rows(listing, "finding", "age", "split")["00000001_001.png"] == ("Heart", 58.0, None)
    for split in ("train_val", "test"):
        assert f"The published split is not known: there is no {tmp_path}/tables/{split}_list.txt." in listing.notes


CHEXPERT = """Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,\
Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,\
Support Devices
CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,,,,,,,0.0,,,,1.0
CheXpert-v1.0-small/train/patient00001/study1/view2_lateral.jpg,Female,68,Lateral,,1.0,,,,,,,,,0.0,,,,
CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg,Male,87,Frontal,PA,,,,,,1.0,,-1.0,,,,,,
CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg,Unknown,0,Frontal,AP,,,,1.0,,1.0,,,,0.0,,,,
CheXpert-v1.0-small/train/patient00004/study1/view1_frontal.jpg,Male,50,Frontal,AP,,,,0.0,,,,,,0.0,,,,1.0
"""


@pytest.fixture
def chexpert(tmp_path: Path) -> Path:
    folder = tmp_path / "CheXpert-v1.0-small"
    write(folder, "train.csv", CHEXPERT)
    valid = CHEXPERT.splitlines()[:2]
    write(folder, "valid.csv", "\n".join(valid).replace("/train/patient00001", "/valid/patient64541"))
    paths = [line.split(",")[0] for text in (CHEXPERT.splitlines()[1:], valid[1:]) for line in text]
    touch_images(tmp_path, *paths, paths[-1].replace("train/patient00001", "valid/patient64541"))
    return folder


def findings(listing: Listing) -> dict[str, str]:
    return {Path(row["path"]).parts[-3]: row["finding"] for row in listing.images.to_dicts()}


def test_chexpert(chexpert: Path) -> None:
    listing = list_source(chexpert, labels_as="chexpert")
    assert findings(listing) == {"patient00001": NORMAL, "patient64541": NORMAL}
    assert listing.images.drop("path", "finding", "source", "mask").rows() == [
        ("patient00001", "AP", 68.0, "F", "train"),
        ("patient64541", "AP", 68.0, "F", "valid"),
    ]
    assert "Side views of train.csv left out: lateral (1). Take them with --views." in listing.notes
    assert "Left out, since no finding is marked 1, not even No Finding: 1 of 5 images." in listing.notes
    assert "1 image was left out, since the finding is not known: uncertain (1)." in listing.notes
    assert "several findings are named: Lung Opacity|Edema (1)." in said(listing)


def test_the_rule_for_uncertain_ones_is_stated(chexpert: Path) -> None:
    table = chexpert / "train.csv"
    assert findings(list_source(table, labels_as="chexpert", uncertain="negative"))["patient00002"] == "Edema"
    listing = list_source(table, labels_as="chexpert", uncertain="positive")
    assert "patient00002" not in findings(listing)
    assert "Edema|Pneumonia (1)" in said(listing)
    assert listing.choices.uncertain == "positive"
    # Side views on request.
    listing = list_source(table, labels_as="chexpert", views=["lateral"])
    assert listing.images["view"].to_list() == ["lateral"]


def test_a_mark_that_is_none(chexpert: Path) -> None:
    write(chexpert, "train.csv", CHEXPERT.replace(",-1.0,", ",2,"))
    with pytest.raises(DataError, match=r"train\.csv, row 4: its 'Pneumonia' is none of 1, 0, -1 and empty"):
        list_source(chexpert, labels_as="chexpert")


RSNA_LABELS = """patientId,x,y,width,height,Target
0004cfab-14fd,,,,,0
00313ee0-9eaa,,,,,0
00436515-870c,264.0,152.0,213.0,379.0,1
00436515-870c,562.0,152.0,256.0,453.0,1
"""
RSNA_CLASSES = """patientId,class
0004cfab-14fd,No Lung Opacity / Not Normal
00313ee0-9eaa,Normal
00436515-870c,Lung Opacity
00436515-870c,Lung Opacity
"""


@pytest.fixture
def rsna(tmp_path: Path) -> Path:
    folder = tmp_path / "rsna"
    write(folder, "stage_2_train_labels.csv", RSNA_LABELS)
    for seed, name in enumerate(("0004cfab-14fd", "00313ee0-9eaa", "00436515-870c")):
        path = folder / "stage_2_train_images" / f"{name}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_dicom(make_sheet(seed), PatientID=name, ViewPosition="AP", PatientSex="F"))
    return folder


@pytest.mark.parametrize("name", [".", "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"])
def test_rsna(rsna: Path, name: str) -> None:
    write(rsna, "stage_2_detailed_class_info.csv", RSNA_CLASSES)
    listing = list_source(rsna / name, labels_as="rsna")
    # What its tables do not say, its DICOM files do.
    assert rows(listing, "finding", "view", "sex") == {
        "0004cfab-14fd.dcm": ("Other abnormality", "AP", "F"),
        "00313ee0-9eaa.dcm": (NORMAL, "AP", "F"),
        "00436515-870c.dcm": (LUNG_OPACITY, "AP", "F"),
    }
    assert "No Lung Opacity / Not Normal is called Other abnormality: 1 of 3 images." in listing.notes
    assert "patientId names an image: two images of one patient cannot be kept in one split" in said(listing)


def test_rsna_without_the_table_of_normal_ones_knows_no_normal_one(rsna: Path) -> None:
    listing = list_source(rsna, labels_as="rsna")
    assert rows(listing, "finding") == {"00436515-870c.dcm": (LUNG_OPACITY,)}
    assert "Left out, since Target 0 means no lung opacity, and not a normal radiograph: 2 of 3 images." in said(
        listing
    )
    assert f"Put stage_2_detailed_class_info.csv, which tells them apart, beside {rsna}" in said(listing)
    write(rsna, "stage_2_train_labels.csv", RSNA_LABELS.replace(",0\n", ",no\n"))
    with pytest.raises(DataError, match=r"row 2: its Target is neither 0 nor 1"):
        list_source(rsna, labels_as="rsna")


def test_rsna_images_that_their_headers_rule_out_are_named(rsna: Path) -> None:
    write(rsna, "stage_2_detailed_class_info.csv", RSNA_CLASSES)
    side = rsna / "stage_2_train_images" / "00313ee0-9eaa.dcm"
    side.write_bytes(encode_dicom(make_sheet(1), PatientID="00313ee0-9eaa", ViewPosition="LL"))
    listing = list_source(rsna, labels_as="rsna")
    assert set(rows(listing, "finding")) == {"0004cfab-14fd.dcm", "00436515-870c.dcm"}
    assert listing.left_out.rows() == [(str(side), "its header says that it is a lateral view")]
    assert "Left out: 1 DICOM file, because its header says that it is a lateral view." in listing.notes


MIMIC_LABELS = """subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,\
Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices
10000032,50414267,,,,,,,,,1.0,,,,,
10000032,53189527,,,,,,,,,,,,1.0,0.0,
10000764,57375967,,,1.0,,,,,,,-1.0,,,,
"""
MIMIC_METADATA = """dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,\
StudyTime,ProcedureCodeSequence_CodeMeaning
02aa804e-bde0afdd,10000032,50414267,CHEST (PA AND LAT),PA,3056,2544,21800506,213014.531,CHEST (PA AND LAT)
174413ec-4ec4c1f7,10000032,50414267,CHEST (PA AND LAT),LATERAL,3056,2544,21800506,213014.531,CHEST (PA AND LAT)
2a2277a9-b0ded155,10000032,53189527,CHEST (PORTABLE AP),,3056,2544,21800626,165500.312,CHEST (PORTABLE AP)
096052b7-d256dc40,10000764,57375967,CHEST (PA AND LAT),PA,2544,3056,21321015,94212.328,CHEST (PA AND LAT)
68b5c4b1-227d0485,10000898,50771383,CHEST (PA AND LAT),AP LLD,2544,3056,21880323,140005.281,CHEST (PA AND LAT)
"""
MIMIC_SPLIT = """dicom_id,study_id,subject_id,split
02aa804e-bde0afdd,50414267,10000032,train
174413ec-4ec4c1f7,50414267,10000032,train
2a2277a9-b0ded155,53189527,10000032,validate
096052b7-d256dc40,57375967,10000764,test
"""


@pytest.fixture
def mimic(tmp_path: Path) -> Path:
    folder = tmp_path / "mimic-cxr-jpg"
    folder.mkdir()
    for part, text in (("chexpert", MIMIC_LABELS), ("metadata", MIMIC_METADATA), ("split", MIMIC_SPLIT)):
        (folder / f"mimic-cxr-2.0.0-{part}.csv.gz").write_bytes(gzip.compress(text.encode()))
    touch_images(
        folder / "files",
        "p10/p10000032/s50414267/02aa804e-bde0afdd.jpg",
        "p10/p10000032/s53189527/2a2277a9-b0ded155.jpg",
        "p10/p10000764/s57375967/096052b7-d256dc40.jpg",
    )
    return folder


def test_mimic(mimic: Path) -> None:
    listing = list_source(mimic, labels_as="mimic")
    assert rows(listing, "finding", "patient", "view", "split") == {
        "02aa804e-bde0afdd.jpg": (NORMAL, "10000032", "PA", "train"),
        "2a2277a9-b0ded155.jpg": ("Pneumonia", "10000032", None, "validate"),
    }
    path = mimic / "files" / "p10" / "p10000032" / "s50414267" / "02aa804e-bde0afdd.jpg"
    assert listing.images["path"][0] == str(path)
    unlabelled = "Left out, since mimic-cxr-2.0.0-chexpert.csv.gz says nothing of their study: 1 of 5 images."
    assert unlabelled in listing.notes
    assert "Side views of mimic-cxr-2.0.0-chexpert.csv.gz left out: LATERAL (1)." in said(listing)
    listing = list_source(mimic, labels_as="mimic", uncertain="negative")
    assert rows(listing, "finding")["096052b7-d256dc40.jpg"] == ("Consolidation",)


def test_mimic_by_its_other_labels_and_without_metadata(mimic: Path) -> None:
    (mimic / "mimic-cxr-2.0.0-metadata.csv.gz").unlink()
    (mimic / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    negbio = write(mimic, "mimic-cxr-2.0.0-negbio.csv", MIMIC_LABELS)
    listing = list_source(negbio, labels_as="mimic")
    assert "Views are not known without mimic-cxr-2.0.0-metadata.csv: side views are among the images." in listing.notes
    assert listing.images["view"].null_count() == listing.images.height == 3
    (mimic / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    with pytest.raises(DataError, match=r"names studies and no images\. Put mimic-cxr"):
        list_source(negbio, labels_as="mimic")


@pytest.mark.parametrize("kind", ["nih", "chexpert", "rsna", "mimic"])
def test_tables_that_are_not_there_or_of_another_kind(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=f"has no table of --labels-as {kind} "):
        list_source(tmp_path, labels_as=kind)
    other = write(tmp_path, "other.csv", "path,finding\na.png,COVID\n")
    with pytest.raises(DataError, match=rf"has no column '.*', as --labels-as {kind} needs it. It has: path, finding"):
        list_source(other, labels_as=kind)


@pytest.mark.parametrize(
    ("text", "kind"), [(NIH, "nih"), (CHEXPERT, "chexpert"), (RSNA_LABELS, "rsna"), (MIMIC_LABELS, "mimic")]
)
def test_a_published_table_without_its_preset_is_recognised(tmp_path: Path, text: str, kind: str) -> None:
    with pytest.raises(DataError, match=f"published table of {kind}: add --labels-as {kind}"):
        list_source(write(tmp_path, "t.csv", text))


@pytest.mark.parametrize(
    ("word", "split"),
    [
        *(("train_val", "train"), ("test", "test"), ("train", "train")),
        *(("valid", "validation"), ("validate", "validation")),
    ],
)
def test_the_published_splits_are_understood(word: str, split: str) -> None:
    assert published_split(word) == split


def test_with_a_key_patients_are_hashed_once(nih: Path, rsna: Path) -> None:
    key = b"k" * 32
    listing = list_source(nih, labels_as="nih", patient_key=key)
    assert set(listing.images["patient"]) == {patient_of_name(name, key) for name in ("1", "2", "3")}
    # Of DICOM files by their headers, which give the same.
    write(rsna, "stage_2_detailed_class_info.csv", RSNA_CLASSES)
    listing = list_source(rsna, labels_as="rsna", patient_key=key)
    assert set(listing.images["patient"]) == {patient_of_name(Path(path).stem, key) for path in listing.images["path"]}


def test_a_published_set_is_imported(rsna: Path, tmp_path: Path) -> None:
    write(rsna, "stage_2_detailed_class_info.csv", RSNA_CLASSES)
    dataset = import_dataset(rsna, tmp_path / "out", labels_as="rsna", test_only=True).dataset
    assert dataset.manifest.height == 3
    assert dataset.description.choices.labels_as == "rsna"
    assert dataset.manifest["patient"].null_count() == 0

"""A language's folder of Common Voice is read by its tables, as it is unpacked."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenbench import registry
from greenbench.datasets.commonvoice import CommonVoice
from greenbench.datasets.corpus import Corpus
from greenbench.errors import InputError, MissingError

HEADER = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tvariant"
HEADER += "\tlocale\tsegment"
"""The columns of release 21.0."""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a language's folder with two recordings and their table."""
    folder = tmp_path / "cv-corpus-21.0-2025-03-14" / "en"
    (folder / "clips").mkdir(parents=True)
    for n in (1, 2):
        soundfile.write(folder / "clips" / f"common_voice_en_{n}.mp3", np.full(16_000, 0.1), 32_000, format="MP3")
    rows = (
        'ab12\tcommon_voice_en_1.mp3\tx1\t"Stop, he said.\t\t2\t0\ttwenties\tfemale_feminine\tScottish English\t\ten\t',
        "cd34\tcommon_voice_en_2.mp3\tx2\tGo on.\t\t2\t0\t\t\t\tnorth\ten\t",
    )
    (folder / "test.tsv").write_text("\n".join((HEADER, *rows, "")), encoding="utf-8")
    return folder


def test_a_release_is_read_as_it_is_unpacked(release: Path) -> None:
    """Speakers are the clients; age, gender and accents are slices where they are stated; quotes are letters."""
    data = CommonVoice(release, slice_by=("variant",))
    first, second = data()
    assert data.label == "commonvoice/en/test"
    assert (first.id, first.speaker, first.reference) == ("common_voice_en_1", "ab12", '"Stop, he said.')
    assert first.slices == {"age": "twenties", "gender": "female_feminine", "accents": "Scottish English"}
    assert second.slices == {"variant": "north"}
    corpus = Corpus(data)
    list(corpus.chunks())
    assert corpus.stats.n_utterances == 2
    assert corpus.stats.audio_s == pytest.approx(1.0, abs=0.2)


def test_older_releases_have_one_accent(release: Path) -> None:
    """The column `accent` of releases before 8.0 is the same slice."""
    (release / "dev.tsv").write_text("client_id\tpath\tsentence\taccent\nab\tcommon_voice_en_1.mp3\tHello\tscotland\n")
    assert [clip.slices for clip in CommonVoice(release, "dev")()] == [{"accents": "scotland"}]


def test_what_is_missing_is_named_with_the_remedy(release: Path, tmp_path: Path) -> None:
    """A folder, its recordings or a split that is not there is one line before anything runs."""
    for data, named in (
        (CommonVoice(tmp_path / "none"), f"{tmp_path / 'none'}: there is no such folder. Set 'root'"),
        (CommonVoice(release.parent), f"{release.parent / 'clips'}: there is no such folder. Set 'root'"),
        (CommonVoice(release, "tset"), f"{release / 'tset.tsv'}: the table of the split cannot be opened"),
    ):
        with pytest.raises(MissingError, match=re.escape(named)):
            data.prepare()


def test_a_malformed_row_is_one_line(release: Path) -> None:
    """A row that breaks off, as in a download that did, and a table of something else are named by their lines."""
    table = release / "test.tsv"
    whole = table.read_text()
    table.write_text(whole[: whole.index("Go on")])
    with pytest.raises(InputError, match=r"test\.tsv:3: the row has 4 fields, the header 13"):
        CommonVoice(release).prepare()
    table.write_text("clip\tduration[ms]\ncommon_voice_en_1.mp3\t500\n")
    with pytest.raises(InputError, match=r"test\.tsv:1: there is no column 'path': set `split`"):
        CommonVoice(release).prepare()


def test_the_suite_creates_it_by_its_name(release: Path) -> None:
    """`use: commonvoice` takes the folder and the split."""
    made = registry.create("datasets", "commonvoice", {"root": "en", "split": "test"}, release.parent)
    assert made == CommonVoice(release.resolve())

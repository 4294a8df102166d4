from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from mlptrain.errors import DataError, MachineError
from mlptrain.sources.fetch import fetch
from mlptrain.sources.store import RAW_FILES, read_images
from mlptrain.sources.verify import verify
from tests.data.damage import DAMAGES, damage, full_disk
from tests.data.mirrors import ARCHIVES, FIRST, Mirrors, files_below


def test_a_fetched_set_is_the_published_one(mirrors: Mirrors, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []

    downloaded = fetch(
        "mnist", tmp_path, mirrors=[mirrors.address("good")], on_progress=lambda *report: seen.append(report)
    )

    assert downloaded == ARCHIVES
    assert files_below(tmp_path) == sorted([*ARCHIVES, *RAW_FILES])
    assert all(check.ok for check in verify("mnist", tmp_path))
    assert mirrors.agents == {"mlptrain"}
    for archive in ARCHIVES:
        size = (tmp_path / "MNIST" / "raw" / archive).stat().st_size
        steps = [(done, total) for name, done, total in seen if name == archive]
        assert steps == sorted(steps)
        assert steps[-1] == (size, size)


def test_a_complete_set_costs_no_network(mirrors: Mirrors, archives: Path) -> None:
    assert fetch("mnist", archives, mirrors=[mirrors.address("good")]) == []
    assert files_below(archives) == sorted([*ARCHIVES, *RAW_FILES])
    for archive in archives.rglob("*.gz"):
        archive.unlink()
    assert fetch("mnist", archives, mirrors=[mirrors.address("good")]) == []
    assert mirrors.requests == []


def test_torchvisions_mirrors_are_the_default(
    mirrors: Mirrors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [mirrors.address("404"), mirrors.address("good")])
    assert fetch("mnist", tmp_path) == ARCHIVES


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_archive_is_replaced_and_nothing_else_fetched(mirrors: Mirrors, archives: Path, kind: str) -> None:
    damage(archives / "MNIST" / "raw" / FIRST, kind)
    assert fetch("mnist", archives, mirrors=[mirrors.address("good")]) == [FIRST]
    assert mirrors.requests == [f"good/{FIRST}"]
    assert all(check.ok for check in verify("mnist", archives))


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_unpacked_again_or_else_fetched(mirrors: Mirrors, archives: Path, kind: str) -> None:
    read_images("mnist", archives)
    raw = archives / "MNIST" / "raw"
    damage(raw / RAW_FILES[0], kind)
    assert fetch("mnist", archives, mirrors=[mirrors.address("good")]) == []
    read_images("mnist", archives)

    damage(raw / RAW_FILES[0], kind)
    (raw / FIRST).unlink()
    assert fetch("mnist", archives, mirrors=[mirrors.address("good")]) == [FIRST]
    read_images("mnist", archives)


BAD_MIRRORS = {
    "403": "HTTP 403 Forbidden",
    "404": "HTTP 404 Not Found",
    "503": "HTTP 503 Service Unavailable",
    "damaged": "not the published archive: MD5 ",
    "portal": "not the published archive: MD5 ",
    "truncated": "the connection ended after 4956211 of 9912422 bytes",
    "silent": "no data for 0.5 s",
    "stalled": "no data for 0.5 s after 1000 bytes",
    "dripping": "too slow: ",
    "endless": "not the published archive: more than 67108864 bytes",
    "hanging-up": "the server closed the connection without an answer",
}
HANGING = ("silent", "stalled", "dripping")  # of the others, and of good ones, a busy machine may ask for patience


@pytest.mark.parametrize("mirror", BAD_MIRRORS)
def test_a_bad_mirror_is_told_from_a_good_one(mirrors: Mirrors, tmp_path: Path, mirror: str) -> None:
    addresses = [mirrors.address(mirror), mirrors.address("good")]

    begin = time.monotonic()
    assert fetch("mnist", tmp_path, mirrors=addresses, timeout=2 if mirror in HANGING else 60) == ARCHIVES

    assert time.monotonic() - begin < 8
    # The good one is asked first from the second archive on.
    assert mirrors.requests == [f"{mirror}/{FIRST}", *(f"good/{archive}" for archive in ARCHIVES)]
    assert files_below(tmp_path) == sorted([*ARCHIVES, *RAW_FILES])


@pytest.mark.parametrize(("mirror", "reason"), BAD_MIRRORS.items())
def test_where_no_mirror_helps_one_message_says_all(mirrors: Mirrors, tmp_path: Path, mirror: str, reason: str) -> None:
    addresses = [mirrors.address(mirror), "http://127.0.0.1:9/"]

    with pytest.raises(MachineError) as caught:
        fetch("mnist", tmp_path, mirrors=addresses, timeout=0.5 if mirror in HANGING else 60)

    message = str(caught.value)
    assert f"{mirrors.address(mirror)}{FIRST}: {reason}" in message
    assert f"http://127.0.0.1:9/{FIRST}: " in message
    assert "refused" in message
    assert str(tmp_path / "MNIST" / "raw") in message
    assert all(archive in message for archive in ARCHIVES)
    assert "mlptrain train configs/digits.yaml" in message
    assert caught.value.exit_code == 1
    assert files_below(tmp_path) == []
    in_vain = mirror in ("403", "404", "endless")
    assert Counter(mirrors.requests) == {f"{mirror}/{FIRST}": 1 if in_vain else 2}


def test_a_mirror_is_asked_again(mirrors: Mirrors, tmp_path: Path) -> None:
    assert fetch("mnist", tmp_path, mirrors=[mirrors.address("busy-once")]) == ARCHIVES
    with pytest.raises(MachineError, match="503"):
        fetch("mnist", tmp_path / "other", mirrors=[mirrors.address("503")], attempts=1)


def test_without_mirrors_nothing_is_pretended(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=f"no mirror has a good {FIRST}"):
        fetch("mnist", tmp_path, mirrors=[])


def test_a_mirror_that_does_not_tell_the_size(mirrors: Mirrors, tmp_path: Path) -> None:
    totals = set()
    fetch("mnist", tmp_path, mirrors=[mirrors.address("unsized")], on_progress=lambda *report: totals.add(report[2]))
    assert totals == {None}
    read_images("mnist", tmp_path)


def test_a_stopped_download_leaves_nothing(mirrors: Mirrors, tmp_path: Path) -> None:
    def stop(name: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("mnist", tmp_path, mirrors=[mirrors.address("good")], on_progress=stop)
    assert files_below(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_the_disks_fault(mirrors: Mirrors, tmp_path: Path) -> None:
    (tmp_path / "MNIST").write_text("a file where the folder should be")
    with pytest.raises(MachineError, match="cannot write to the data folder") as caught:
        fetch("mnist", tmp_path, mirrors=[mirrors.address("good")])
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)
    assert "--data-dir" in str(caught.value)
    assert mirrors.requests == []


def test_a_full_disk_is_not_blamed_on_the_mirror(mirrors: Mirrors, tmp_path: Path) -> None:
    with full_disk(1_000_000), pytest.raises(MachineError, match="cannot write to the data folder") as caught:
        fetch("mnist", tmp_path, mirrors=[mirrors.address("good")])
    assert "127.0.0.1" not in str(caught.value)
    assert len(mirrors.requests) == 1
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("name", ["spirals", "imagenet", "digits"])
def test_what_cannot_be_fetched_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name):
        fetch(name, tmp_path)


@pytest.mark.parametrize("address", ["nonsense", "http://["])
def test_what_is_not_an_address_is_said_first_in_our_words(tmp_path: Path, address: str) -> None:
    with pytest.raises(MachineError) as caught:
        fetch("mnist", tmp_path, mirrors=[address])
    assert f"{address}/{FIRST}: is not an address that begins with http:// or https:// (" in str(caught.value)

"""The password of an address is shown to nobody."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from features import config
from features.contracts import SettingError
from features.database import Database, parse_data, redacted

URL = "postgresql://me:s3cret@db.example:5433/shop"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "postgresql://me:***@db.example:5433/shop"),
        (
            "postgres://me@db.example/shop?schema=eu&sslmode=require",
            "postgres://me@db.example/shop?sslmode=require&schema=eu",
        ),
        (
            "postgresql://me@h/shop?password=s3cret",
            "postgresql://me@h/shop?password=***",
        ),
        ("postgresql:///shop?host=/tmp", "postgresql:///shop?host=/tmp"),
        ("postgresql://me:s3@cret@h/shop", "postgresql://me:***@h/shop"),
    ],
)
def test_address_is_shown_without_its_password(url: str, shown: str) -> None:
    database = Database.parse(url)
    assert str(database) == shown
    assert repr(database) == f"Database({shown!r})"
    assert f"{database}" == shown


def test_schema_is_ours_and_everything_else_the_drivers() -> None:
    database = Database.parse("postgresql://me@h/shop?schema=eu&sslmode=require")
    assert database.url == ("postgresql://me@h/shop?sslmode=require&connect_timeout=10")
    assert (database.schema, database.name) == ("eu", "shop.eu")
    patient = Database.parse("postgresql://me@h/shop?connect_timeout=60")
    assert patient.url.endswith("?connect_timeout=60")


def test_password_in_a_text_of_the_driver_is_hidden_however_it_is_spelt() -> None:
    database = Database.parse("postgresql://me:a%2Fb%25@h/shop?password=other")
    told = database.hide('invalid token "a%2Fb%25", a/b%, other')
    assert told == 'invalid token "***", ***, ***'


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:s3cret@h/shop",
        "postgresql+psycopg://me:s3cret@h/shop",
        "postgresql://me:s3cret@h:port/shop",
        "postgresql://me:s3cret@h:99999/shop",
        "postgresql://me:s3#cret@h/shop",
        "postgresql://me:s3cret@[h/shop",
        "postgresql://me:s3cret@h/shop?schema",
    ],
)
def test_wrong_address_is_one_line_without_any_part_of_it(url: str) -> None:
    scheme = url.partition(":")[0]
    with pytest.raises(SettingError) as refused:
        Database.parse(url)
    assert str(refused.value) == (
        "data: expected a folder, a DuckDB file or "
        f"postgresql://user@host:port/database, got an address {scheme}://***; encode "
        "special characters, and keep the password in PGPASSWORD or a passfile"
    )


def test_configuration_takes_paths_and_addresses_and_writes_no_password() -> None:
    found = config.load(None, (f"data={URL}",))
    assert found.data == Database.parse(URL)
    assert "s3cret" not in found.model_dump_json() + str(found) + repr(found)
    assert found.model_dump(mode="json")["data"] == str(found.data)
    assert config.load(None, ("data=some/folder",)).data == Path("some/folder")
    # Evaluation cutoffs are built in other processes.
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    "override",
    [
        f"dat={URL}",
        f"seed={URL}",
        f"cutoff={URL}",
        f"evaluation_cutoffs=[{URL}]",
        f"data=[{URL}]",
        f"data={{url: '{URL}'}}",
        f"engine={URL}",
        "data=mysql://me:s3cret@h/shop",
        f"{URL}",
        f"data=[{URL}",
        "data={password: s3cret, x: ]",
    ],
)
def test_no_message_of_the_configuration_holds_a_password(override: str) -> None:
    with pytest.raises(SettingError) as refused:
        config.load(None, (override,))
    assert "s3cret" not in str(refused.value)


def test_broken_file_is_told_without_its_password(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"data: {URL}\n  seed: [")
    with pytest.raises(SettingError) as refused:
        config.load(file)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("text", ["a b:c@d", "12:30:00", "mailto:me@h", "x=1&y=2"])
def test_text_without_a_password_stays(text: str) -> None:
    assert redacted(text) == text


def test_path_stays_a_path() -> None:
    assert parse_data("a/b") == Path("a/b")
    assert parse_data(Path("a")) == Path("a")

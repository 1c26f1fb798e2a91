"""Where a file is written: whole, behind a link, and never in the place of a device."""

import os
import stat

import pytest
from special_files import KINDS, special

from fer_jax.errors import ConfigError, UserError
from fer_jax.files import behind_links, check_target, kind, write_whole


@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_file_keeps_its_place(tmp_path, name):
    path = special(name, tmp_path / "a")
    (tmp_path / "link").symlink_to("a")
    for place in (path, tmp_path / "link"):
        with pytest.raises(ConfigError, match=f"{place} is a {name}, and no file: name another"):
            check_target(place, overwrite=True)
        with pytest.raises(ConfigError, match=f"is a {name}, and no file"):
            write_whole(place, "text")
    assert kind(path.lstat().st_mode) == name and (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["a", "link"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to("inner/a")
    write_whole(tmp_path / "link", "one")
    assert (tmp_path / "inner" / "a").read_text() == "one"
    with pytest.raises(ConfigError, match="link exists already: add --overwrite"):
        check_target(tmp_path / "link", overwrite=False)
    check_target(tmp_path / "link", overwrite=True)
    write_whole(tmp_path / "link", b"two")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "inner" / "a").read_text() == "two"
    assert os.listdir(tmp_path / "inner") == ["a"]


def test_a_folder_and_a_link_to_itself_are_no_target(tmp_path):
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(ConfigError, match="is a folder: name a file"):
        check_target(tmp_path, overwrite=True)
    with pytest.raises(UserError, match="link cannot be written: Too many levels"):
        behind_links(tmp_path / "link")


def test_the_kinds_of_files_have_names():
    modes = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
    assert [kind(mode | 0o644) for mode in modes] == ["file", "folder", "pipe", "socket", "device", "device"]

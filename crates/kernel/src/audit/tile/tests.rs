//! Paths of tiles, there and back.

use proptest::prelude::*;

use super::*;

#[test]
fn paths_are_those_of_the_specification() {
    let hashes = |level, index, width| TilePath::Hashes { level, index, width };
    for (path, tile) in [
        ("tile/0/000", hashes(0, 0, 256)),
        ("tile/0/x001/x234/067", hashes(0, 1_234_067, 256)),
        ("tile/0/273.p/112", hashes(0, 273, 112)),
        ("tile/1/001.p/17", hashes(1, 1, 17)),
        ("tile/entries/x001/000.p/1", TilePath::Entries { index: 1000, width: 1 }),
    ] {
        assert_eq!(TilePath::parse(path), Some(tile), "{path}");
        assert_eq!(tile.text(), path);
    }
    for wrong in [
        "",
        "tile",
        "tile/0",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/8/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/../000",
        "tile/0/001/002",
        "tile/x/000",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "/tile/0/000",
        "tile/0/000/",
        "tile/data/000",
    ] {
        assert_eq!(TilePath::parse(wrong), None, "{wrong}");
    }
}

/// The specification's example: 70,000 entries are 273 full tiles and one of 112 hashes, then one of 17, then one of 1.
#[test]
fn a_tree_has_the_tiles_of_its_size() {
    for (path, exists) in [
        ("tile/0/272", true),
        ("tile/0/273", false),
        ("tile/0/273.p/112", true),
        ("tile/0/273.p/113", false),
        ("tile/1/000", true),
        ("tile/1/001.p/17", true),
        ("tile/1/001.p/18", false),
        ("tile/2/000.p/1", true),
        ("tile/3/000.p/1", false),
        ("tile/entries/273.p/112", true),
    ] {
        assert_eq!(TilePath::parse(path).unwrap().exists(70_000), exists, "{path}");
    }
}

proptest! {
    #[test]
    fn every_path_is_read_back(level in 0u8..8, index in 0u64..u64::MAX >> 8, width in 1u16..257, entries: bool) {
        let tile = if entries { TilePath::Entries { index, width } } else { TilePath::Hashes { level, index, width } };
        prop_assert_eq!(TilePath::parse(&tile.text()), Some(tile));
    }
}

//! Whose data it is, and who may open it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::cluster::store::{Claim, Store, StoreError};

fn claim(cluster: &str, node: u64) -> Claim {
    Claim { cluster: cluster.parse().unwrap(), node }
}

#[test]
fn a_new_store_has_a_random_incarnation_and_keeps_it() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Store::open(one.path()).unwrap().identity().clone();
    assert_eq!(first.claim, None);
    assert_eq!(*Store::open(one.path()).unwrap().identity(), first);
    assert_ne!(Store::open(two.path()).unwrap().identity().incarnation, first.incarnation);
}

#[test]
fn a_claim_lasts_and_another_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path()).unwrap();
    store.claim(claim("c1", 3)).unwrap();
    store.claim(claim("c1", 3)).unwrap();
    drop(store);
    let mut store = Store::open(directory.path()).unwrap();
    assert_eq!(store.identity().claim, Some(claim("c1", 3)));
    store.claim(claim("c1", 3)).unwrap();
    for other in [claim("c2", 3), claim("c1", 4)] {
        let error = store.claim(other.clone()).unwrap_err();
        assert!(
            matches!(&error, StoreError::Claimed { stored, asked, .. } if *stored == claim("c1", 3) && *asked == other)
        );
        assert!(error.to_string().contains("belongs to node 3 of cluster c1"), "{error}");
    }
    assert_eq!(store.identity().claim, Some(claim("c1", 3)));
}

#[test]
fn a_second_opening_is_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let error = Store::open_within(directory.path(), Duration::ZERO).err().unwrap();
    assert!(matches!(&error, StoreError::InUse { .. }));
    assert!(error.to_string().contains("in use by another process: stop that one"), "{error}");
    drop(store);
    Store::open(directory.path()).unwrap();
}

#[test]
fn a_directory_is_made_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/cluster");
    drop(Store::open(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("cluster")).err().unwrap();
    assert!(matches!(&error, StoreError::Directory { .. }), "{error}");
    assert!(error.to_string().contains("file/cluster"), "{error}");
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path()).unwrap());
    let path = directory.path().join("format");
    let newer = fs::read_to_string(&path).unwrap().replace("format 1", "format 2") + "whatever 7\n";
    fs::write(&path, &newer).unwrap();
    let error = Store::open(directory.path()).err().unwrap();
    assert!(matches!(&error, StoreError::Newer { found: 2, .. }));
    assert!(error.to_string().contains("update this node"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

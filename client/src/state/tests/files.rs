//! The store of files, on a real file system.

use std::{fs, io, path::Path};

use tempfile::TempDir;

use super::{
    super::disk::{Directory, Disk},
    *,
};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A store below a directory that does not exist yet, with a state and its snapshot in it.
async fn saved(world: &mut World) -> (TempDir, std::path::PathBuf, Arc<State>, Snapshot) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("app").join("state");
    let store: Arc<dyn StateStore> = Arc::new(FileStateStore::open(&path).unwrap());
    let (mut keeper, loaded) = open(&store, &world.binding()).await;
    assert!(matches!(loaded, Loaded::Nothing));
    let (state, snapshot) = world.sample(1);
    let state = Arc::new(state);
    keeper.save_snapshot(&snapshot).await.unwrap();
    keeper.save(&state).await.unwrap();
    (root, path, state, snapshot)
}

#[tokio::test]
async fn a_state_survives_its_process() {
    let mut world = World::new(30);
    let (_root, path, state, snapshot) = saved(&mut world).await;
    let snapshot_file = StatePart::Snapshot(snapshot.id()).name();
    assert!(snapshot_file.starts_with("snapshot-1-1-") && snapshot_file.len() == 51);
    assert_eq!(names(&path), ["core.state", "lock", &snapshot_file]);

    let store: Arc<dyn StateStore> = Arc::new(FileStateStore::open(&path).unwrap());
    let (mut keeper, loaded) = open(&store, &world.binding()).await;
    assert_eq!(found(loaded).encode().unwrap()[..], state.encode().unwrap()[..]);
    let kept = keeper.load_snapshot(snapshot.id()).await.unwrap();
    assert_eq!(kept.part()[..], snapshot.part()[..]);
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let mut world = World::new(31);
    let (_root, path, _, _) = saved(&mut world).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    let check = || {
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o700, 0o700));
        for name in names(&path) {
            assert_eq!(mode(&path.join(&name)), 0o600, "{name}");
        }
    };
    check();
    // A file that is there with other permissions is replaced, not written into.
    fs::set_permissions(path.join("core.state"), fs::Permissions::from_mode(0o644)).unwrap();
    let leftover = path.join("core.state.tmp");
    let store: Arc<dyn StateStore> = Arc::new(FileStateStore::open(&path).unwrap());
    let (mut keeper, loaded) = open(&store, &world.binding()).await;
    fs::write(&leftover, b"left open").unwrap();
    keeper.save(&Arc::new(found(loaded))).await.unwrap();
    check();
}

#[tokio::test]
async fn what_a_crash_left_behind_is_removed_and_the_rest_is_not() {
    let mut world = World::new(32);
    let (_root, path, _, snapshot) = saved(&mut world).await;
    let before = names(&path);
    for garbage in ["core.state.tmp", "snapshot-1-2-00.state.tmp", "snapshot-1-2-00.state"] {
        fs::write(path.join(garbage), b"half written").unwrap();
    }
    fs::write(path.join("notes.txt"), b"none of ours").unwrap();
    let store: Arc<dyn StateStore> = Arc::new(FileStateStore::open(&path).unwrap());
    assert!(names(&path).iter().all(|name| !name.ends_with(".tmp")), "removed at opening");
    let (mut keeper, loaded) = open(&store, &world.binding()).await;
    let mut expected = before;
    expected.push(String::from("notes.txt"));
    expected.sort();
    assert_eq!(names(&path), expected);

    // A snapshot that is no longer named goes with the next save.
    let mut state = found(loaded);
    state.epoch_mut(1).unwrap().release();
    keeper.save(&Arc::new(state)).await.unwrap();
    assert_eq!(names(&path), ["core.state", "lock", "notes.txt"]);
    let gone = keeper.load_snapshot(snapshot.id()).await;
    assert_eq!(gone.unwrap_err(), StateError::Corrupt);
}

#[tokio::test]
async fn a_directory_has_one_store_at_a_time() {
    let mut world = World::new(33);
    let (_root, path, _, _) = saved(&mut world).await;
    let first = FileStateStore::open(&path).unwrap();
    assert_eq!(FileStateStore::open(&path).unwrap_err(), StateUnavailable::InUse);
    drop(first);
    FileStateStore::open(&path).unwrap();
}

#[tokio::test]
async fn what_cannot_be_written_is_an_error_and_loses_nothing() {
    let mut world = World::new(34);
    let (_root, path, state, _) = saved(&mut world).await;
    let store: Arc<dyn StateStore> = Arc::new(FileStateStore::open(&path).unwrap());
    let (mut keeper, loaded) = open(&store, &world.binding()).await;
    // A directory of that name is in the way of the temporary file.
    fs::create_dir(path.join("core.state.tmp")).unwrap();
    let mut changed = found(loaded);
    changed.set_manifest(world.manifest(2, 9));
    let failed = keeper.save(&Arc::new(changed)).await;
    assert!(matches!(failed, Err(StateError::Unavailable(StateUnavailable::Io(_)))), "{failed:?}");
    fs::remove_dir(path.join("core.state.tmp")).unwrap();
    let (_, loaded) = open(&store, &world.binding()).await;
    assert_eq!(found(loaded).encode().unwrap()[..], state.encode().unwrap()[..]);

    fs::write(path.join("file"), b"").unwrap();
    let in_the_way = FileStateStore::open(path.join("file").join("state"));
    assert!(matches!(in_the_way, Err(StateUnavailable::Io(_))), "{in_the_way:?}");
}

#[test]
fn a_file_is_read_up_to_the_limit_and_not_past_it() {
    let root = tempfile::tempdir().unwrap();
    let directory = Directory::open(root.path()).unwrap();
    fs::write(root.path().join("a"), [7; 10]).unwrap();
    assert_eq!(directory.read("a", 10).unwrap().unwrap(), [7; 10]);
    let refused = directory.read("a", 9).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    assert_eq!(directory.read("b", 10).unwrap(), None);
}

/// Files one byte past the limits, without blocks: they are refused before any of it is read.
#[tokio::test]
async fn files_past_the_limits_are_not_read() {
    let mut world = World::new(35);
    let (_root, path, state, snapshot) = saved(&mut world).await;
    let part = StatePart::Snapshot(snapshot.id());
    for part in [StatePart::Core, part] {
        let file = fs::File::create(path.join(part.name())).unwrap();
        file.set_len(part.bytes_max() + 1).unwrap();
    }
    let store: Arc<dyn StateStore> = Arc::new(FileStateStore::open(&path).unwrap());
    assert_eq!(store.load(part).await.unwrap_err(), StateUnavailable::TooLarge);
    let (mut keeper, loaded) = open(&store, &world.binding()).await;
    assert!(matches!(loaded, Loaded::Unusable(StateError::TooLarge)), "{loaded:?}");
    assert_eq!(keeper.load_snapshot(snapshot.id()).await.unwrap_err(), StateError::Corrupt);
    keeper.save_snapshot(&snapshot).await.unwrap();
    keeper.save(&state).await.unwrap();
    let (_, loaded) = open(&store, &world.binding()).await;
    assert_eq!(found(loaded).encode().unwrap()[..], state.encode().unwrap()[..]);
}

/// No file of the directory has a trace of a deleted contact.
#[tokio::test]
async fn a_deleted_contact_leaves_no_trace_in_the_directory() {
    let mut world = World::new(36);
    let (_root, path, state, _) = saved(&mut world).await;
    let contact = state.local_key(&identifier(0));
    let evaluation = state.epoch(1).unwrap().evaluation(&contact).unwrap();
    let label = state.matches(&book([0]))[0].label.clone();
    let traces: [&[u8]; 4] =
        [&contact.0, evaluation.expose_tag(), evaluation.expose_label_key(), &label.0];
    let is_there = |trace: &&[u8]| {
        names(&path).iter().any(|name| contains(&fs::read(path.join(name)).unwrap(), trace))
    };
    assert!(traces.iter().all(is_there));

    let store: Arc<dyn StateStore> = Arc::new(FileStateStore::open(&path).unwrap());
    // Also not in what an earlier process left half written.
    fs::copy(path.join("core.state"), path.join("core.state.tmp")).unwrap();
    let (mut keeper, loaded) = open(&store, &world.binding()).await;
    let mut kept = found(loaded);
    kept.retain_contacts(&book([1, 2]));
    keeper.save(&Arc::new(kept)).await.unwrap();
    assert!(!traces.iter().any(is_there));
}

/// A save that nobody waits for any more is done wholly or not at all, and never after a later
/// one.
#[tokio::test]
async fn an_abandoned_save_does_not_overtake() {
    let root = tempfile::tempdir().unwrap();
    let store = FileStateStore::open(root.path()).unwrap();
    let bytes = |n: u8| PartBytes::from(vec![n; 100_000]);
    for n in 0..20 {
        let abandoned = store.save(StatePart::Core, bytes(n));
        let polled = futures_util::FutureExt::now_or_never(abandoned);
        assert!(polled.is_none_or(|saved| saved.is_ok()));
        store.save(StatePart::Core, bytes(100 + n)).await.unwrap();
        let found = store.load(StatePart::Core).await.unwrap().unwrap();
        assert_eq!(found[..], bytes(100 + n)[..], "round {n}");
    }
}

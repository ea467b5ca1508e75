//! The build's identity is read from what git keeps, however it keeps it.

#[path = "../build.rs"]
mod build;

use std::fs;
use std::path::Path;

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a directory")).expect("directories are made");
    fs::write(path, text).expect("a file is written");
}

fn commit(files: &[(&str, &str)], tree: &str) -> Option<String> {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("tree")).expect("a directory is made");
    files.iter().for_each(|(path, text)| write(root.path(), path, text));
    build::commit(&root.path().join(tree)).commit
}

#[test]
fn the_commit_is_found_wherever_git_keeps_it() {
    let short = Some(ID[..10].to_owned());
    let line = format!("{ID}\n");
    let packed = format!("# pack-refs with: peeled\n{} refs/heads/other\n{ID} refs/heads/main\n", ID.replace('0', "f"));
    let main = ("tree/.git/HEAD", "ref: refs/heads/main\n");
    assert_eq!(commit(&[("tree/.git/HEAD", &line)], "tree"), short, "a detached head");
    assert_eq!(commit(&[main, ("tree/.git/refs/heads/main", &line)], "tree"), short, "a loose reference");
    assert_eq!(commit(&[main, ("tree/.git/packed-refs", &packed)], "tree"), short, "a packed reference");
    let linked = [
        ("tree/.git", "gitdir: ../all/.git/worktrees/tree\n"),
        ("all/.git/worktrees/tree/HEAD", "ref: refs/heads/main\n"),
        ("all/.git/worktrees/tree/commondir", "../..\n"),
        ("all/.git/refs/heads/main", &line),
    ];
    assert_eq!(commit(&linked, "tree"), short, "a linked work tree");
}

#[test]
fn without_a_commit_there_is_only_a_version() {
    let main = ("tree/.git/HEAD", "ref: refs/heads/main\n");
    assert_eq!(commit(&[], "tree"), None);
    assert_eq!(commit(&[main], "tree"), None);
    assert_eq!(commit(&[main, ("tree/.git/refs/heads/main", "nonsense\n")], "tree"), None);
}

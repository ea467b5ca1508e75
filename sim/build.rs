//! Tells the executable which build it is: the version, and the commit if the sources lie in a git work tree.
//!
//! git itself is not run: the files that it keeps say enough, and a build needs no git.

use std::fs;
use std::path::{Path, PathBuf};

/// Digits of a commit that tell it from others.
const COMMIT_DIGITS: usize = 10;

#[allow(dead_code, reason = "its test asks for the commit alone")]
fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo tells")).join("..");
    let version = std::env::var("CARGO_PKG_VERSION").expect("cargo tells");
    println!("cargo::rerun-if-changed=build.rs");
    let found = commit(&root);
    for file in &found.read {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let build = found.commit.map_or_else(|| version.clone(), |commit| format!("{version}+{commit}"));
    println!("cargo::rustc-env=DFS_SIM_BUILD={build}");
}

/// The commit that is checked out, and the files that told.
#[derive(Default)]
pub struct Found {
    /// Its first digits, if there is one.
    pub commit: Option<String>,
    /// What to look at again for another.
    pub read: Vec<PathBuf>,
}

/// Looks for the commit of the work tree at `root`.
pub fn commit(root: &Path) -> Found {
    let mut found = Found::default();
    found.commit = find(root, &mut found.read).map(|id| id[..COMMIT_DIGITS.min(id.len())].to_owned());
    found
}

fn find(root: &Path, read: &mut Vec<PathBuf>) -> Option<String> {
    let mut text = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok().map(|text| text.trim().to_owned());
        if text.is_some() {
            read.push(path);
        }
        text
    };
    // A linked work tree has a file where others have a directory.
    let directory = match text(root.join(".git")) {
        Some(link) => root.join(link.strip_prefix("gitdir:")?.trim()),
        None => root.join(".git"),
    };
    let shared = text(directory.join("commondir")).map_or_else(|| directory.clone(), |path| directory.join(path));
    let head = text(directory.join("HEAD"))?;
    let Some(reference) = head.strip_prefix("ref:").map(str::trim) else {
        return is_commit(&head).then_some(head);
    };
    for place in [&directory, &shared] {
        if let Some(id) = text(place.join(reference)).filter(|id| is_commit(id)) {
            return Some(id);
        }
    }
    let packed = text(shared.join("packed-refs"))?;
    let named = packed.lines().filter_map(|line| line.split_once(' ')).find(|(_, name)| *name == reference);
    named.map(|(id, _)| id.to_owned()).filter(|id| is_commit(id))
}

fn is_commit(text: &str) -> bool {
    text.len() >= COMMIT_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

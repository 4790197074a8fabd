//! Every `sh` block of the documents runs as it stands, page by page, from the root of the checkout.
//!
//! A page's blocks are one script, because later blocks use what earlier ones made. `parapet` is on PATH, state goes to a
//! private folder. Blocks that show output are fenced `text`, files `toml`, `cedar`, `yaml` or `sql`: none of those runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bed::clients::run_with;
use crate::bed::folder::Folder;
use crate::bed::gateway::BINARY;

/// Pages whose blocks build or test the tree itself: running them here would never end.
const NOT_RUN: [&str; 2] = ["README.md", "CONTRIBUTING.md"];

/// Every document.
pub(crate) fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![crate::tidy::root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The blocks of a language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(fence)) if fence.trim() == language => open = Some(String::new()),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    blocks
}

#[test]
fn every_shell_block_runs() {
    let folder = Folder::new("docs-blocks");
    let bin = Path::new(BINARY).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut failed = Vec::new();
    for page in pages() {
        let script = blocks(&std::fs::read_to_string(&page).unwrap(), "sh").concat();
        if script.is_empty() {
            continue;
        }
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail"])
            .current_dir(crate::tidy::root())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("XDG_STATE_HOME", folder.make("state"))
            .env("NO_COLOR", "1");
        let ran = run_with(&mut command, &script);
        if ran.code != 0 {
            failed.push(format!("{}: exit {}\n{}\n{}", page.display(), ran.code, ran.out, ran.err));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A block without a language could be either: each says what it is.
#[test]
fn every_block_says_what_it_is() {
    let root = crate::tidy::root();
    let mut silent = Vec::new();
    for page in pages().into_iter().chain(NOT_RUN.map(|page| root.join(page))) {
        let mut inside = false;
        for (number, line) in std::fs::read_to_string(&page).unwrap().lines().enumerate() {
            if let Some(fence) = line.trim_start().strip_prefix("```") {
                if !inside && fence.trim().is_empty() {
                    silent.push(format!("{}:{}", page.display(), number + 1));
                }
                inside = !inside;
            }
        }
    }
    assert!(silent.is_empty(), "blocks without a language: {silent:?}");
}

/// Relative links lead somewhere.
#[test]
fn links_lead_somewhere() {
    let root = crate::tidy::root();
    let mut dead = Vec::new();
    let top =
        ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"].map(|page| root.join(page));
    for page in pages().into_iter().chain(top) {
        for link in std::fs::read_to_string(&page).unwrap().split("](").skip(1) {
            let Some(target) = link.split([')', '#']).next().filter(|target| !target.is_empty()) else { continue };
            if !target.contains("://") && !page.parent().unwrap().join(target).exists() {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

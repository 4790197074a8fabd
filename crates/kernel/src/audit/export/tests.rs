//! Every part of a small log as an export, and every way to change one.

use super::*;
use crate::audit::note::{KeyUse, SignerKey};
use crate::audit::{LeafIndex, leaf_hash, next_chain_hash, write_record};
use crate::time::Timestamp;

const SIZE: u64 = 21;

fn key(seed: u8) -> SignerKey {
    SignerKey::from_seed("parapet.example/audit", KeyUse::Sign, &[seed; 32]).unwrap()
}

/// The log's lines, the chain before each, and the tree's frontier before each.
fn log() -> (Vec<String>, Vec<ChainHash>, Vec<Frontier>) {
    let (mut lines, mut chains, mut frontiers) = (Vec::new(), vec![ChainHash::default()], vec![Frontier::default()]);
    for number in 0..SIZE {
        let entry = format!("{{\"v\":1,\"number\":{number}}}");
        let leaf = leaf_hash(entry.as_bytes());
        let chain = next_chain_hash(chains.last().unwrap(), &leaf);
        let mut line = Vec::new();
        write_record(LeafIndex(number), &chain, entry.as_bytes(), &mut line);
        line.pop();
        let mut frontier = frontiers.last().unwrap().clone();
        frontier.push(TreeHash(leaf));
        lines.push(String::from_utf8(line).unwrap());
        chains.push(chain);
        frontiers.push(frontier);
    }
    (lines, chains, frontiers)
}

fn head(size: u64, frontiers: &[Frontier]) -> Checkpoint {
    Checkpoint { origin: "parapet.example/audit".into(), size, root: frontiers[usize::try_from(size).unwrap()].root() }
}

fn export(first: u64, end: u64, signer: &SignerKey) -> Vec<String> {
    let (lines, chains, frontiers) = log();
    let range = usize::try_from(first).unwrap()..usize::try_from(end).unwrap();
    let text = head(SIZE, &frontiers).text();
    let note = Note::new(text.clone(), vec![signer.sign(&text, Timestamp::from_millis(0))]);
    let right: Vec<TreeHash> = between(end, SIZE)
        .into_iter()
        .map(|(at, height)| {
            let mut part = Frontier::default();
            for line in &lines[usize::try_from(at).unwrap()..usize::try_from(at + (1 << height)).unwrap()] {
                part.push(TreeHash(leaf_hash(line.splitn(3, ' ').nth(2).unwrap().as_bytes())));
            }
            part.root()
        })
        .collect();
    let left = &frontiers[range.start];
    let keys = [signer.public().clone()];
    let header = ExportHeader::new((first, end), chains[range.start], left, &right, &keys, &note);
    [vec![serde_json::to_string(&header).unwrap()], lines[range].to_vec()].concat()
}

fn verify(lines: &[String], keys: &[VerifierKey], known: Vec<Checkpoint>) -> Result<ExportProved, ExportFault> {
    let (header, records) = lines.split_first().unwrap();
    let mut verifier = ExportVerifier::begin(header, keys, known)?;
    records.iter().try_for_each(|record| verifier.accept(record.as_bytes()))?;
    verifier.finish()
}

#[test]
fn every_part_is_proved() {
    let keys = [key(1).public().clone()];
    let (_, _, frontiers) = log();
    for first in 0..=SIZE {
        for end in first..=SIZE {
            let lines = export(first, end, &key(1));
            let known = vec![head(first, &frontiers), head(end, &frontiers)];
            let proved = verify(&lines, &keys, known).unwrap();
            assert_eq!((proved.first, proved.end, proved.checkpoint.size), (first, end, SIZE));
            assert_eq!(proved.consistent_with.last(), Some(&end));
        }
    }
}

#[test]
fn every_change_is_found_with_the_first_bad_record() {
    let keys = [key(1).public().clone()];
    let sound = export(3, 17, &key(1));
    let check = |change: &dyn Fn(&mut Vec<String>), expect: &dyn Fn(&ExportFault) -> bool| {
        let mut lines = sound.clone();
        change(&mut lines);
        let fault = verify(&lines, &keys, Vec::new()).unwrap_err();
        assert!(expect(&fault), "{fault:?}");
    };
    let at =
        |wanted: u64| move |fault: &ExportFault| matches!(fault, ExportFault::Record { seq, .. } if *seq == wanted);
    check(&|lines| lines[5] = lines[5].replace("number\":7", "number\":8"), &at(7));
    check(&|lines| drop(lines.remove(5)), &at(7));
    check(&|lines| lines.swap(5, 6), &at(7));
    check(&|lines| lines.insert(5, lines[4].clone()), &at(7));
    check(&|lines| drop(lines.pop()), &|fault| *fault == ExportFault::Number { seq: 16, end: 17 });
    check(&|lines| lines.push(lines[14].clone()), &|fault| *fault == ExportFault::Number { seq: 17, end: 17 });
    check(&|lines| lines[0] = lines[0].replace("\"end\":17", "\"end\":16"), &|fault| *fault == ExportFault::Header);
    // Everything written anew, the chain too: only the signed root knows.
    let mut chain = ChainHash::default();
    let mut anew = export(0, SIZE, &key(1));
    for (seq, line) in anew.iter_mut().skip(1).enumerate() {
        let entry = format!("{{\"v\":1,\"forged\":{seq}}}");
        chain = next_chain_hash(&chain, &leaf_hash(entry.as_bytes()));
        *line = format!("{seq} {chain} {entry}");
    }
    assert_eq!(verify(&anew, &keys, Vec::new()), Err(ExportFault::OtherRoot { first: 0 }));
    // Signed with another key, and vouched for by itself: it holds in itself, and not for who knows the key.
    let other = export(0, SIZE, &key(2));
    assert!(verify(&other, &[], Vec::new()).is_ok());
    assert_eq!(verify(&other, &keys, Vec::new()), Err(ExportFault::Checkpoint(NoteError::UnknownKeys)));
    // Another history was signed before.
    let (_, _, frontiers) = log();
    let forked = Checkpoint { root: TreeHash([9; 32]), ..head(9, &frontiers) };
    assert_eq!(verify(&sound, &keys, vec![forked]), Err(ExportFault::OtherHistory { size: 9 }));
    let longer = Checkpoint { size: 99, ..head(9, &frontiers) };
    assert_eq!(verify(&sound, &keys, vec![longer]), Err(ExportFault::OtherHistory { size: 99 }));
}

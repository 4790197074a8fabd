//! The detectors over any text: hits are in order, within the text, and do not overlap.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::detect::Detector;

fuzz_target!(|text: &[u8]| {
    let detector = Detector::new().expect("constant patterns");
    let mut end = 0;
    detector.scan(&mut detector.scratch(), text, |hit| {
        assert!(hit.start >= end && hit.start < hit.end && hit.end <= text.len());
        end = hit.end;
    });
});

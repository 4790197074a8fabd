//! A permit comes from a judgement.

use parapet_kernel::verdict::{Ask, Content, Permit};

pub fn permit(ask: Ask, content: Content) -> Option<Permit> {
    let Ask { subject, terms, .. } = ask;
    Some(Permit { subject, terms, content, grant: None })
}

fn main() {}

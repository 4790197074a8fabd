//! An authority of the tests' own, and the certificate of `localhost` that it signed.

use std::path::PathBuf;

use super::folder::Folder;

/// Writes `ca.crt`, `server.crt` and `server.key` for these names into the folder; gives the authority's file.
pub(crate) fn issue(folder: &Folder, names: &[&str]) -> PathBuf {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate whose issuer has its own name for one that signed itself.
    authority.distinguished_name.push(rcgen::DnType::CommonName, "the tests' authority");
    let certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let server = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    folder.write("server.crt", &server.pem());
    folder.write("server.key", &key.serialize_pem());
    folder.write("ca.crt", &certificate.pem())
}

//! The messages of the SPIFFE Workload API that Parapet reads (workload.proto). Fields that it does not need are passed over.

use std::collections::BTreeMap;
use std::fmt;

use prost::Message;
use zeroize::Zeroize as _;

/// `X509SVIDResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct X509Svids {
    /// The SVIDs of this process, the default first.
    #[prost(message, repeated, tag = "1")]
    pub(super) svids: Vec<X509Svid>,
    /// Authorities of other trust domains, by `spiffe://` and name; certificates in DER, one after the other.
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(super) federated_bundles: BTreeMap<String, Vec<u8>>,
}

/// `X509SVID`
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct X509Svid {
    /// Its id.
    #[prost(string, tag = "1")]
    pub(super) spiffe_id: String,
    /// The chain, leaf first, in DER.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) x509_svid: Vec<u8>,
    /// The private key, PKCS #8 in DER.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) x509_svid_key: Vec<u8>,
    /// The authorities of its trust domain, in DER.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) bundle: Vec<u8>,
}

impl fmt::Debug for X509Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Svid").field("spiffe_id", &self.spiffe_id).finish_non_exhaustive()
    }
}

impl Drop for X509Svid {
    fn drop(&mut self) {
        self.x509_svid_key.zeroize();
    }
}

/// `JWTBundlesResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct JwtBundles {
    /// JWK sets, by `spiffe://` and the trust domain's name.
    #[prost(btree_map = "string, bytes", tag = "1")]
    pub(super) bundles: BTreeMap<String, Vec<u8>>,
}

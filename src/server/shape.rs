//! What a request must look like beyond what hyper asks of it (RFC 9112).
//!
//! hyper refuses a head with folded lines, blanks before a colon, two lengths that differ, a length
//! that is no number, a transfer coding that does not end in `chunked`, and broken chunks. Of a head
//! with both a length and a transfer coding it hides the length, so whoever stands before us may have
//! seen another end of the body: nothing after it on that connection is to be believed (section 6.1).

use hyper::header::{HOST, TRANSFER_ENCODING};
use hyper::{Request, Version};

/// Exactly one Host, as section 3.2 of RFC 9112 demands.
pub(super) fn is_sound<B>(request: &Request<B>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11)
}

/// Whether the connection ends with the answer to this request.
pub(super) fn is_last<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_and_no_more() {
        for (hosts, version, sound) in [
            (&["a"][..], Version::HTTP_11, true),
            (&[], Version::HTTP_11, false),
            (&["a", "a"], Version::HTTP_11, false),
            (&[], Version::HTTP_10, true),
            (&["a", "b"], Version::HTTP_10, false),
        ] {
            let mut request = Request::builder().version(version);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            assert_eq!(is_sound(&request.body(()).expect("a request")), sound, "{hosts:?} {version:?}");
        }
    }
}

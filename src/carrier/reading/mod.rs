//! What carriers' requests are written in.
//!
//! Comes in: bytes of a body, a query, a header. Goes out: pairs, values, text, borrowed where they stand
//! there as they are meant.
//! Always true: any bytes are taken, in linear time; what is not as its format wants is said to be so.
//! Not here: what the values mean to a carrier (`adapters`).
//!
//! Structure: `form` (pairs of a form or query), `json` (strings as bytes, bounded lists), `members` (what
//! JSON's members have in common), `pointer` (values of JSON by their place), `fields` (named values of form or
//! JSON). Words: `charset` (bytes that are to be text), `gsm7` (the alphabet of the air), `udh` (pieces of a
//! long text).

pub mod charset;
pub mod fields;
pub mod form;
pub mod gsm7;
pub mod json;
pub mod members;
pub mod pointer;
pub mod udh;

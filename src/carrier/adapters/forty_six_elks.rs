//! 46elks: texts and pictures to a virtual number.
//!
//! Comes in: POST of a form. Goes out: one text, with the links of its pictures.
//! Always true: what is answered would be sent to the resident, so nothing is; credentials written into
//! the URL come as HTTP Basic.
//! Not here: deliveries of texts sent, which have their own URL and here are receipts.
//!
//! Sources, 2026-11-22: 46elks.se/docs/receive-sms, /docs/receive-mms, /docs/sms-delivery-reports;
//! tarreislam/php-46elks. UNVERIFIED: how long it waits.

use std::borrow::Cow;
use std::time::Duration;

use super::declared::{Declaration, Declared, Words};
use crate::carrier::Contract;

pub static FORTY_SIX_ELKS: Declared = Declared {
    contract: Contract {
        name: "46elks",
        deadline: Duration::from_secs(10),
        // Anything but 200 to 204 is tried again, for 6 h and 5 times at least.
        retries_503: true,
        ..Contract::USUAL
    },
    declaration: Declaration {
        from: Words::Shipped(&["from"]),
        to: Words::Shipped(&["to"]),
        text: Words::Shipped(&["message"]),
        id: Words::Shipped(&["id"]),
        time: Words::Shipped(&["created"]),
        // Calls have none, nor have the reports.
        texts_have: Words::Shipped(&["direction=incoming"]),
        media: Words::Shipped(&[
            "image", "image2", "image3", "image4", "image5", "image6", "image7", "image8", "image9", "image10",
        ]),
        zone: Some(Cow::Borrowed("UTC")),
        ..Declaration::USUAL
    },
};

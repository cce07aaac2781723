//! A carrier that is declared instead of coded: which of its fields says what.
//!
//! Comes in: a request, and a declaration, shipped (`declarations`) or written in the settings
//! (`carrier = "form"`). Goes out: its texts.
//! Always true: a field that cannot be read costs the text nothing unless it could not be delivered
//! without; a text whose characters cannot be decoded is kept as bytes; a number's plus that was not
//! escaped is a plus.
//! Not here: how the declaration is written in the settings (`config`), requests in the other direction
//! (`compose`), times (`times`), escapes beyond those of forms and JSON (`escapes`).

mod compose;
mod escapes;
mod times;

use std::borrow::Cow;

use hyper::Method;

pub use compose::compose;
pub use escapes::{Escapes, from_hex};
pub use times::{TIME_ZONE, check_time_form};

use crate::carrier::reading::fields::{Case, Fields, filled_number, number};
use crate::carrier::reading::pointer::Document;
use crate::carrier::reading::{charset, form, udh};
use crate::carrier::{Account, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook};
use crate::message::{Body, Inbound, Media, Part, Text};

/// Most texts of one request: what is read takes more memory than what was sent.
const BATCH_MAX: usize = 2_000;

/// Where a request has its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// In the URL, whatever the method.
    Query,
    /// In a form's body.
    Form,
    /// In a JSON body; names that begin with a slash are pointers (RFC 6901).
    Json,
}

impl Format {
    /// The word for it in the settings.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "query" => Some(Self::Query),
            "form" => Some(Self::Form),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Words of a declaration: of a carrier that is shipped, or of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    Shipped(&'static [&'static str]),
    Set(Vec<String>),
}

impl Words {
    pub const NONE: Self = Self::Shipped(&[]);

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (shipped, set) = match self {
            Self::Shipped(words) => (*words, &[][..]),
            Self::Set(words) => (&[][..], &words[..]),
        };
        shipped.iter().copied().chain(set.iter().map(String::as_str))
    }

    pub fn first(&self) -> Option<&str> {
        self.iter().next()
    }

    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }
}

/// What a 200 says where it is not the contract's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// Which field says what. Of several names for one thing the first that is filled counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Those it may come in; the first is what `simulate` sends.
    pub formats: Cow<'static, [Format]>,
    /// How names are compared.
    pub case: Case,
    /// A pointer to the list of texts, where one JSON body holds several; the other pointers then start at
    /// its elements.
    pub texts: Option<Cow<'static, str>>,
    pub from: Words,
    pub to: Words,
    pub text: Words,
    pub id: Words,
    pub time: Words,
    /// The name of the text's charset, for this text.
    pub text_charset: Words,
    /// What the pieces of one text share, how many they are, and which this is, from 1.
    pub reference: Words,
    pub total: Words,
    pub number: Words,
    /// The user data header, in hexadecimal digits or bytes.
    pub udh: Words,
    /// How many pieces the carrier joined.
    pub segments: Words,
    /// Links of media, one in each.
    pub media: Words,
    /// Conditions that every text fulfils; what does not is a receipt.
    pub texts_have: Words,
    /// Conditions that no text fulfils; what does is a receipt.
    pub texts_lack: Words,
    /// Whether what has words is a text whatever `texts_lack` says. So it is with shipped carriers, whose receipts
    /// have none: a field that their documents do not name must not make a receipt of a text.
    pub words_outrank: bool,
    /// Conditions under one of which the text is not words but a link to media, or the media itself.
    pub text_is_media: Words,
    /// The charset of what names none.
    pub charset: Option<Cow<'static, str>>,
    pub escapes: Escapes,
    /// `iso`, `unix`, `unix-ms`, or strftime patterns.
    pub times: Words,
    /// The zone of times that name none; without it they are no times.
    pub zone: Option<Cow<'static, str>>,
    /// Whether a GET without anything asks only whether somebody is there.
    pub probes: bool,
    pub reply: Option<Reply>,
}

impl Declaration {
    /// What a declaration need not say again: a form with nothing in it, in UTF-8.
    pub const USUAL: Self = Self {
        formats: Cow::Borrowed(&[Format::Form]),
        case: Case::Exact,
        texts: None,
        from: Words::NONE,
        to: Words::NONE,
        text: Words::NONE,
        id: Words::NONE,
        time: Words::NONE,
        text_charset: Words::NONE,
        reference: Words::NONE,
        total: Words::NONE,
        number: Words::NONE,
        udh: Words::NONE,
        segments: Words::NONE,
        media: Words::NONE,
        texts_have: Words::NONE,
        texts_lack: Words::NONE,
        words_outrank: false,
        text_is_media: Words::NONE,
        charset: None,
        escapes: Escapes::None,
        times: Words::Shipped(&["iso", "unix", "unix-ms"]),
        zone: None,
        probes: false,
        reply: None,
    };

    /// The texts of a request.
    pub fn read(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        if self.probes && webhook.method == Method::GET && is_bare(webhook.query) {
            return Ok(Delivery::Nothing("probe"));
        }
        let fields = match self.format_of(webhook)? {
            Format::Query => Fields::pairs(webhook.query.as_bytes()),
            Format::Form => Fields::pairs(webhook.body),
            Format::Json => return self.read_json(Document::parse(webhook.body)?, webhook, account),
        };
        self.read_one(&fields, webhook, account)
    }

    /// The same of a JSON body that somebody has parsed already.
    pub fn read_json(
        &self,
        document: Document<'_>,
        webhook: &Webhook<'_>,
        account: &Account,
    ) -> Result<Delivery, Malformed> {
        match &self.texts {
            Some(pointer) => self.read_list(document, pointer, webhook, account),
            None => self.read_one(&Fields::json(document), webhook, account),
        }
    }

    fn read_one(&self, fields: &Fields<'_>, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        Ok(match self.text(fields, webhook, account)? {
            Some(text) => Delivery::Texts(vec![text]),
            None => Delivery::Nothing("receipt"),
        })
    }

    fn read_list(
        &self,
        document: Document<'_>,
        pointer: &str,
        webhook: &Webhook<'_>,
        account: &Account,
    ) -> Result<Delivery, Malformed> {
        let list = document.at(pointer, self.case == Case::Ignored).and_then(Document::elements);
        let (mut texts, mut receipts) = (Vec::new(), false);
        for (index, element) in list.ok_or(Malformed("the list of texts is missing"))?.enumerate() {
            if index == BATCH_MAX {
                return Err(Malformed("more than 2000 texts are in one request"));
            }
            match self.text(&Fields::json(element), webhook, account)? {
                Some(text) => texts.push(text),
                None => receipts = true,
            }
        }
        Ok(match (texts.is_empty(), receipts) {
            (false, _) => Delivery::Texts(texts),
            (true, true) => Delivery::Nothing("receipt"),
            (true, false) => Delivery::Nothing("empty"),
        })
    }

    /// One text; none for a receipt.
    pub fn text(
        &self,
        fields: &Fields<'_>,
        webhook: &Webhook<'_>,
        account: &Account,
    ) -> Result<Option<Inbound>, Malformed> {
        let holds = |condition: &str| self.holds(fields, condition);
        let value = |names: &Words| fields.first(names.iter(), self.case);
        let outranks = || self.words_outrank && value(&self.text).is_some_and(|words| !words.is_empty());
        if !self.texts_have.iter().all(holds) || (self.texts_lack.iter().any(holds) && !outranks()) {
            return Ok(None);
        }
        let sender = value(&self.from).filter(|sender| !sender.trim_ascii().is_empty());
        let sender = sender.ok_or(Malformed("the sender is missing"))?;
        let to = filled_number(value(&self.to));
        if to.is_none() && account.number.is_none() {
            return Err(Malformed("the number texted is missing"));
        }
        let written = value(&self.text);
        let mut media: Vec<Media> = self
            .media
            .iter()
            .filter_map(|name| form::filled(fields.value(name, self.case)))
            .map(|url| Media { url, content_type: None })
            .collect();
        let body = if self.text_is_media.iter().any(holds) {
            media.extend(form::filled(written).map(linked));
            Body::Text(Text::from(""))
        } else {
            match written {
                Some(written) => self.words(written, value(&self.text_charset), webhook),
                None if media.is_empty() => return Err(Malformed("the text is missing")),
                None => Body::Text(Text::from("")),
            }
        };
        Ok(Some(Inbound {
            carrier_message_id: form::filled(value(&self.id)),
            from: Text::from(self.sender(sender)),
            to: to.map(Text::from),
            body,
            sent_at: value(&self.time).and_then(|written| times::read(self, &written, account)),
            part: self.part(fields),
            segments: value(&self.segments).and_then(|count| counted(&count)).unwrap_or(1).max(1),
            media,
        }))
    }

    /// A condition is a name, which must be filled, or `name=value`.
    fn holds(&self, fields: &Fields<'_>, condition: &str) -> bool {
        match condition.split_once('=') {
            Some((name, wanted)) => fields.value(name, self.case).is_some_and(|value| *value == *wanted.as_bytes()),
            None => fields.value(condition, self.case).is_some_and(|value| !value.is_empty()),
        }
    }

    /// A sender's name may have letters of the carrier's charset.
    fn sender(&self, written: Cow<'_, [u8]>) -> String {
        match charset::decode(Cow::Borrowed(&written), self.charset.as_deref()) {
            Body::Text(text) => number(Cow::Borrowed(text.as_str().as_bytes())),
            Body::Undecodable(_) => number(written),
        }
    }

    /// The charset this text names outranks the declared one, and that the one of the request's head,
    /// which frameworks write without looking.
    fn words(&self, written: Cow<'_, [u8]>, label: Option<Cow<'_, [u8]>>, webhook: &Webhook<'_>) -> Body {
        let label = form::filled(label);
        let label = label.as_deref().or(self.charset.as_deref());
        self.escapes.decode(written, label.or_else(|| webhook.charset()))
    }

    fn part(&self, fields: &Fields<'_>) -> Option<Part> {
        let value = |names: &Words| fields.first(names.iter(), self.case);
        let from_header = || value(&self.udh).and_then(|header| udh::part_written(&header));
        let reference = form::filled(value(&self.reference));
        let (Some(reference), Some(total), Some(number)) = (reference, value(&self.total), value(&self.number)) else {
            return from_header();
        };
        let (total, number) = (counted(&total)?, counted(&number)?);
        // A text of one piece is whole, and a number outside the total would never be joined.
        (total > 1 && (1..=total).contains(&number)).then_some(Part { reference, total, number })
    }

    /// The format of this request, of those that are declared.
    fn format_of(&self, webhook: &Webhook<'_>) -> Result<Format, Malformed> {
        let has = |format| self.formats.contains(&format);
        if webhook.method == Method::GET || (!has(Format::Form) && !has(Format::Json)) {
            return if has(Format::Query) { Ok(Format::Query) } else { Err(Malformed("a body is missing")) };
        }
        Ok(match (has(Format::Form), has(Format::Json)) {
            (false, _) => Format::Json,
            (true, true) if webhook.looks_like_json() => Format::Json,
            (true, _) => Format::Form,
        })
    }
}

/// Whether a query has nothing in it but the account's own secret.
pub fn is_bare(query: &str) -> bool {
    form::raw_pairs(query.as_bytes()).all(|(name, _)| name == b"secret")
}

fn counted(written: &[u8]) -> Option<u16> {
    std::str::from_utf8(written).ok()?.trim().parse().ok()
}

/// A link, or what is in a `data:` link without those words before it.
fn linked(written: String) -> Media {
    let is_link = ["http://", "https://", "data:"].iter().any(|scheme| written.starts_with(scheme));
    Media { url: if is_link { written } else { format!("data:{written}") }, content_type: None }
}

/// A carrier of which all is declared.
pub struct Declared {
    pub contract: Contract,
    pub declaration: Declaration,
}

/// The word in the settings for a carrier that the operator declares.
pub const FORM: &str = "form";

/// A carrier that the operator declares, with what is most usual until then.
pub static OPERATOR_DECLARED: Declared = Declared {
    contract: Contract {
        name: FORM,
        methods: &[Method::POST, Method::GET],
        // Nothing is known of it: as the shorter of the known ones, and a text refused is a text lost.
        deadline: std::time::Duration::from_secs(10),
        retries_503: false,
        identifies: false,
        keys: &[TIME_ZONE],
        ..Contract::USUAL
    },
    declaration: Declaration {
        from: Words::Shipped(&["from"]),
        to: Words::Shipped(&["to"]),
        text: Words::Shipped(&["text"]),
        id: Words::Shipped(&["id"]),
        time: Words::Shipped(&["time"]),
        probes: true,
        ..Declaration::USUAL
    },
};

impl Declared {
    fn declaration<'a>(&'a self, account: &'a Account) -> &'a Declaration {
        account.declaration.as_deref().unwrap_or(&self.declaration)
    }
}

impl Carrier for &'static Declared {
    fn contract(&self) -> &'static Contract {
        &self.contract
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        self.declaration(account).read(webhook, account)
    }

    fn unsigned(&self, draft: &Draft, account: &Account) -> Result<Signed, SigningError> {
        compose(self.declaration(account), self.contract.name, draft)
    }
}

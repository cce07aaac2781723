//! `schema`: the contracts this build keeps, as files for whoever builds on them.

use clap::{Args, ValueEnum};

use crate::message::contracts;
use crate::operations;

use super::{Outcome, print};

#[derive(Args)]
pub struct Arguments {
    /// Which one
    #[arg(value_enum)]
    name: Name,
}

#[derive(ValueEnum, Clone, Copy)]
enum Name {
    /// JSON Schema of a text's record, as departments read it
    Record,
    /// JSON Schema of a consent record
    Consent,
    /// JSON Schema of a dead letter
    DeadLetter,
    /// JSON Schema of the record that closes a dead letter
    Replayed,
    /// JSON Schema of a piece of a long text
    Part,
    /// JSON Schema of what closes a long text
    Joined,
    /// AsyncAPI 3.0: topics, keys and headers; names the schemas above as NAME.schema.json
    Asyncapi,
    /// OpenAPI 3.1: every route of the three listeners; names record.schema.json
    Openapi,
}

pub fn schema(arguments: &Arguments) -> Outcome {
    let text = match arguments.name {
        Name::Record => contracts::RECORD,
        Name::Consent => contracts::CONSENT,
        Name::DeadLetter => contracts::DEAD_LETTER,
        Name::Replayed => contracts::REPLAYED,
        Name::Part => contracts::PART,
        Name::Joined => contracts::JOINED,
        Name::Asyncapi => contracts::ASYNCAPI,
        Name::Openapi => operations::OPENAPI,
    };
    print(text.trim_end())
}

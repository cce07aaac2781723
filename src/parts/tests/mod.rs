//! Tests of the joining of pieces.

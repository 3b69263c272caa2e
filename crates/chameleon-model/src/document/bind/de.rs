//! A serde deserializer over a value and its marks.

use super::error::DecodeError;
use crate::document::marks::{Children, Filled, Marks};
use crate::document::name::canonical;
use crate::document::path::Segment;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Decodes one value.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'de> {
    value: &'de Value,
    marks: &'de Marks,
}

impl<'de> Decoder<'de> {
    pub(super) fn new(value: &'de Value, marks: &'de Marks) -> Self {
        Self { value, marks }
    }

    /// Returns the text if the type asks for one: the value, or what a placeholder was filled with.
    fn text(&self) -> Option<&'de str> {
        match (self.value, &self.marks.filled) {
            (Value::String(text), _) => Some(text),
            (_, Some(Filled::Typed(text))) => Some(text),
            _ => None,
        }
    }

    /// Keeps what came from an environment out of errors.
    fn hide<T>(&self, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
        result.map_err(|mut error| {
            if error.shows_value && self.marks.filled.is_some() {
                error.shows_value = false;
                "what its placeholder stands for is not accepted here"
                    .clone_into(&mut error.reason);
            }
            error
        })
    }

    fn fields(&self, fields: &'de Map<String, Value>, known: &[&'static str]) -> Fields<'de> {
        let known = known
            .iter()
            .map(|field| (canonical(field), *field))
            .collect();
        Fields {
            entries: fields.iter(),
            marks: self.marks,
            known,
            next: None,
        }
    }

    fn unexpected(&self) -> Unexpected<'de> {
        match self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(number) if number.is_f64() => Unexpected::Float(0.0),
            Value::Number(_) => Unexpected::Signed(0),
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        }
    }
}

/// The marks of a child; a value without own marks shares those around it.
fn child<'de>(marks: &'de Marks, segment: &Segment) -> &'de Marks {
    let found = match (&marks.children, segment) {
        (Children::Map(children), Segment::Name(name)) => children.get(name),
        (Children::List(children), Segment::Index(index)) => children.get(*index),
        _ => None,
    };
    found.unwrap_or(marks)
}

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.hide(match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (None, Some(number), _) => visitor.visit_i64(number),
                (None, None, number) => visitor.visit_f64(number.unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items {
                rest: items.iter(),
                marks: self.marks,
                index: 0,
            }),
            Value::Object(fields) => visitor.visit_map(self.fields(fields, &[])),
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.text() {
            Some(text) => self.hide(visitor.visit_borrowed_str(text)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.value.is_null() {
            visitor.visit_none()
        } else {
            self.hide(visitor.visit_some(self))
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.hide(visitor.visit_newtype_struct(self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Object(fields) => visitor.visit_map(self.fields(fields, known)),
            // A list would fill the fields by their order in the source code.
            _ => Err(DecodeError::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let (variant, content) = match self.value {
            Value::String(text) => (text.as_str(), None),
            Value::Object(fields) if fields.len() == 1 => {
                let (name, value) = fields.iter().next().expect("it has one field");
                let marks = child(self.marks, &Segment::Name(name.clone()));
                (name.as_str(), Some(Decoder { value, marks }))
            }
            _ => return Err(DecodeError::invalid_type(self.unexpected(), &visitor)),
        };
        self.hide(visitor.visit_enum(Variant { variant, content }))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

struct Fields<'de> {
    entries: serde_json::map::Iter<'de>,
    marks: &'de Marks,
    /// The type's fields by their canonical names.
    known: Vec<(Cow<'static, str>, &'static str)>,
    next: Option<(&'de str, Decoder<'de>)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let Some((name, value)) = self.entries.next() else {
            return Ok(None);
        };
        let marks = child(self.marks, &Segment::Name(name.clone()));
        self.next = Some((name, Decoder { value, marks }));
        let canonical_name = canonical(name);
        let known = self
            .known
            .iter()
            .find(|(known, _)| *known == canonical_name);
        let field = known.map_or(name.as_str(), |(_, field)| field);
        let key = seed.deserialize(BorrowedStrDeserializer::new(field));
        key.map(Some)
            .map_err(|error: DecodeError| error.inside(Segment::Name(name.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let (name, decoder) = self
            .next
            .take()
            .expect("serde asks for a value after its key");
        seed.deserialize(decoder)
            .map_err(|error| error.inside(Segment::Name(name.to_owned())))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

struct Items<'de> {
    rest: std::slice::Iter<'de, Value>,
    marks: &'de Marks,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some(value) = self.rest.next() else {
            return Ok(None);
        };
        let segment = Segment::Index(self.index);
        self.index += 1;
        let marks = child(self.marks, &segment);
        seed.deserialize(Decoder { value, marks })
            .map(Some)
            .map_err(|error| error.inside(segment))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Variant<'de> {
    variant: &'de str,
    content: Option<Decoder<'de>>,
}

impl<'de> Variant<'de> {
    fn content(&self, expected: &str) -> Result<Decoder<'de>, DecodeError> {
        self.content
            .ok_or_else(|| DecodeError::invalid_type(Unexpected::Str(self.variant), &expected))
    }

    fn inside(&self, error: DecodeError) -> DecodeError {
        error.inside(Segment::Name(self.variant.to_owned()))
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let variant = seed.deserialize(BorrowedStrDeserializer::new(self.variant))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match &self.content {
            None => Ok(()),
            Some(content) if content.value.is_null() => Ok(()),
            Some(content) => {
                let expected = format!("`{}` alone", self.variant);
                Err(DecodeError::invalid_type(
                    content.unexpected(),
                    &expected.as_str(),
                ))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        let content = self.content("a variant with a value")?;
        seed.deserialize(content)
            .map_err(|error| self.inside(error))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        let content = self.content("a variant with a list")?;
        content
            .deserialize_any(visitor)
            .map_err(|error| self.inside(error))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let content = self.content("a variant with fields")?;
        content
            .deserialize_struct("", fields, visitor)
            .map_err(|error| self.inside(error))
    }
}

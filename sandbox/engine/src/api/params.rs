//! Query parameters, read as Docker reads them.

use super::document;
use crate::clock;
use crate::error::ApiError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// The parameters of a request.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub struct Params(Vec<(String, String)>);

/// Docker's filters: for each key, the values of which one has to match.
pub type Filters = BTreeMap<String, Vec<String>>;

impl Params {
    /// A parameter's text; empty where it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// The texts of a parameter that may be given several times.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub fn flag(&self, name: &str) -> bool {
        !matches!(self.text(name).trim().to_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A number, where there is one. The error is Go's, which Docker gives to nobody's account.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        match self.text(name) {
            "" => Ok(None),
            text => {
                let bad = |_| ApiError::internal(format!("strconv.Atoi: parsing {text:?}: invalid syntax"));
                text.parse().map(Some).map_err(bad)
            }
        }
    }

    /// A time in seconds since 1970, where there is one.
    pub fn time(&self, name: &str) -> Result<Option<SystemTime>, ApiError> {
        match self.text(name) {
            "" => Ok(None),
            text => {
                let bad =
                    || ApiError::internal(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
                clock::parse_unix(text).ok_or_else(bad).map(Some)
            }
        }
    }

    /// The filters. Docker takes `{"key": {"value": true}}` and, from older clients, `{"key": ["value"]}`.
    pub fn filters(&self) -> Result<Filters, ApiError> {
        let text = self.text("filters");
        if text.is_empty() {
            return Ok(Filters::new());
        }
        let filters = serde_json::from_str(text)
            .map_err(|error| ApiError::internal(document::go_words(text.as_bytes(), &error)))?;
        let bad = |value: &Value, wanted: &str| {
            let kind = document::kind_of(value);
            ApiError::internal(format!("json: cannot unmarshal {kind} into Go value of type {wanted}"))
        };
        let Value::Object(filters) = filters else {
            return Err(bad(&filters, "map[string]map[string]bool"));
        };
        let values = |value: Value| match value {
            Value::Object(set) => {
                Ok(set.into_iter().filter(|(_, on)| on != &Value::Bool(false)).map(|(k, _)| k).collect())
            }
            Value::Array(list) => list
                .into_iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| bad(&item, "string")))
                .collect(),
            other => Err(bad(&other, "map[string]bool")),
        };
        filters.into_iter().map(|(key, value)| Ok((key, values(value)?))).collect()
    }
}

/// An error where there is a filter that is none of these.
pub fn check(filters: &Filters, known: &[&str]) -> Result<(), ApiError> {
    match filters.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(ApiError::bad_request(format!("Invalid filter '{unknown}'"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
    }

    #[test]
    fn switches_are_on_as_with_docker() {
        for (text, on) in
            [("1", true), ("true", true), ("yes", true), ("0", false), ("False", false), ("", false)]
        {
            assert_eq!(params(&[("all", text)]).flag("all"), on, "{text}");
        }
    }

    #[test]
    fn both_forms_of_filters_are_read() {
        let expected = Filters::from([("name".into(), vec!["web".into()])]);
        for text in [r#"{"name":{"web":true}}"#, r#"{"name":["web"]}"#] {
            assert_eq!(params(&[("filters", text)]).filters().unwrap(), expected);
        }
        for bad in ["x", "[]", r#"{"a":1}"#, r#"{"a":[1]}"#] {
            assert!(params(&[("filters", bad)]).filters().is_err(), "{bad}");
        }
    }
}

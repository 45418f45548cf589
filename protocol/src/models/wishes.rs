//! What a frontend is to wish for after its clients have pulled or deleted a model, so that nobody undoes it.

use super::alias::MAX_NAMES;
use super::satisfies;
use crate::model::same_model;
use crate::object::Frontend;

/// A frontend wishes for as many models as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RequiredModels has {MAX_NAMES} models already, which is the most")]
pub struct TooManyWishes;

/// The frontend that requires the model, too; `None` if it does already. What it is to keep in memory it requires as well.
pub fn with_wish(frontend: &Frontend, model: &str) -> Result<Option<Frontend>, TooManyWishes> {
    let mut wishes = frontend.required_models.iter().chain(&frontend.preload_models);
    if wishes.any(|wish| same_model(wish, model)) {
        return Ok(None);
    }
    if frontend.required_models.len() >= MAX_NAMES {
        return Err(TooManyWishes);
    }
    let mut wishing = frontend.clone();
    wishing.required_models.push(model.trim().to_owned());
    Ok(Some(wishing))
}

/// The frontend without the wishes for which the model would be pulled again once it is deleted; `None` if it has none.
/// A wish that names no tag stays if `is_granted` says that another model grants it.
pub fn without_wish(frontend: &Frontend, model: &str, is_granted: impl Fn(&str) -> bool) -> Option<Frontend> {
    let stays = |wish: &String| !same_model(wish, model) && (!satisfies(wish, model) || is_granted(wish));
    if frontend.required_models.iter().chain(&frontend.preload_models).all(stays) {
        return None;
    }
    let mut wishing = frontend.clone();
    wishing.required_models.retain(stays);
    wishing.preload_models.retain(stays);
    Some(wishing)
}

/// The wish of a frontend that it has no such model, if it has one.
pub fn forbidding<'f>(frontend: &'f Frontend, model: &str) -> Option<&'f str> {
    frontend.forbidden_models.iter().map(String::as_str).find(|forbidden| satisfies(forbidden, model))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::FrontendId;

    fn frontend(required: &[&str], preload: &[&str]) -> Frontend {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let mut frontend = Frontend::new(FrontendId::try_from("f").unwrap());
        (frontend.required_models, frontend.preload_models) = (names(required), names(preload));
        frontend
    }

    #[test]
    fn a_pull_is_a_wish_unless_there_is_one() {
        let wished = |required, preload| {
            with_wish(&frontend(required, preload), " New:1b ")
                .unwrap()
                .map(|frontend| frontend.required_models)
        };
        assert_eq!(wished(&["a"], &[]), Some(vec!["a".to_owned(), "New:1b".to_owned()]));
        assert_eq!(wished(&["new"], &[]).map(|models| models.len()), Some(2), "another tag would satisfy it");
        assert_eq!(wished(&["library/new:1B"], &[]), None);
        assert_eq!(wished(&[], &["new:1b"]), None);
    }

    #[test]
    fn wishes_are_bounded() {
        let mut full = frontend(&[], &[]);
        full.required_models = (0..MAX_NAMES).map(|number| format!("m{number}")).collect();
        assert_eq!(with_wish(&full, "new"), Err(TooManyWishes));
        assert_eq!(with_wish(&full, "m7"), Ok(None));
    }

    #[test]
    fn a_deletion_ends_the_wishes_that_would_undo_it() {
        let left = |required: &[&str], preload: &[&str], model: &str, granted: bool| {
            let frontend = without_wish(&frontend(required, preload), model, |_| granted)?;
            Some((frontend.required_models.join(","), frontend.preload_models.join(",")))
        };
        let both = |required: &str, preload: &str| Some((required.to_owned(), preload.to_owned()));
        assert_eq!(left(&["a", "b:1"], &["A:latest", "c"], "a:latest", false), both("b:1", "c"));
        assert_eq!(left(&["a"], &[], "a:33m", false), both("", ""));
        assert_eq!(left(&["a"], &[], "a:33m", true), None, "another tag of it is there");
        assert_eq!(left(&["a"], &[], "a", true), both("", ""), "it was meant by its name");
        assert_eq!(left(&["a:1"], &["b"], "a", false), None);
    }

    #[test]
    fn forbidden_models_are_found_by_the_rule_for_wishes() {
        let mut frontend = frontend(&[], &[]);
        frontend.forbidden_models = vec!["bad".to_owned(), "worse:1b".to_owned()];
        assert_eq!(forbidding(&frontend, "BAD:7b"), Some("bad"));
        assert_eq!(forbidding(&frontend, "worse"), None);
    }
}

//! Reads `schema.sql`: CREATE TABLE statements, of which names, columns and types matter. Anything else is refused, so that
//! no test passes because a definition was overlooked.
//!
//! For test files alone: what a server's tables are, the gateway asks the server.

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    /// Name and type, the type in lower case without its length.
    pub(super) columns: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A bare word, folded.
    Word(String),
    /// A quoted name.
    Name(String),
    /// A constant, or a sign that does not matter here.
    Other,
    Sign(char),
}

/// Every table of the text.
pub(super) fn tables(text: &str) -> Result<Vec<Table>, String> {
    let tokens = tokens(text)?;
    let statements = tokens.split(|token| *token == Token::Sign(';')).filter(|statement| !statement.is_empty());
    statements.map(table).collect()
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").ok_or("a comment has no end")?.1;
        } else if first == '\'' || first == '"' {
            let (inside, behind) = after.split_once(first).ok_or("a quote has no end")?;
            tokens.push(if first == '"' { Token::Name(inside.to_owned()) } else { Token::Other });
            rest = behind;
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
            tokens.push(Token::Word(word.to_lowercase()));
            rest = behind;
        } else {
            match first {
                '(' | ')' | ',' | ';' | '.' => tokens.push(Token::Sign(first)),
                _ if first.is_whitespace() => {}
                _ => tokens.push(Token::Other),
            }
            rest = after;
        }
    }
    Ok(tokens)
}

fn is(token: Option<&Token>, word: &str) -> bool {
    matches!(token, Some(Token::Word(found)) if found == word)
}

fn name(token: Option<&Token>) -> Result<String, String> {
    match token {
        Some(Token::Word(name) | Token::Name(name)) => Ok(name.clone()),
        _ => Err("a name is missing".to_owned()),
    }
}

fn table(statement: &[Token]) -> Result<Table, String> {
    const ONLY: &str = "only CREATE TABLE is understood here";
    let mut tokens = statement.iter().peekable();
    if !is(tokens.next(), "create") || !is(tokens.next(), "table") {
        return Err(ONLY.to_owned());
    }
    if tokens.next_if(|token| is(Some(token), "if")).is_some() {
        let _not_exists = (tokens.next(), tokens.next());
    }
    let mut schema = "public".to_owned();
    let mut table = name(tokens.next())?;
    if tokens.next_if_eq(&&Token::Sign('.')).is_some() {
        schema = std::mem::replace(&mut table, name(tokens.next())?);
    }
    if tokens.next() != Some(&Token::Sign('(')) {
        return Err(format!("table `{table}`: {ONLY}, with its columns"));
    }
    let mut columns = Vec::new();
    let mut depth = 1;
    let mut definition = Vec::new();
    for token in tokens {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && *token == Token::Sign(',')) {
            columns.extend(column(&definition)?);
            definition.clear();
        } else {
            definition.push(token);
        }
        if depth == 0 {
            break;
        }
    }
    if depth != 0 || columns.is_empty() {
        return Err(format!("table `{table}` has no end or no columns"));
    }
    Ok(Table { schema, name: table, columns })
}

/// A column; none for a constraint of the table.
fn column(definition: &[&Token]) -> Result<Option<(String, String)>, String> {
    const CONSTRAINTS: [&str; 7] = ["primary", "unique", "foreign", "check", "constraint", "exclude", "like"];
    let first = definition.first().copied();
    if CONSTRAINTS.iter().any(|word| is(first, word)) {
        return Ok(None);
    }
    let column = name(first)?;
    let mut written = name(definition.get(1).copied())?;
    let follows = |word: &str| definition.iter().skip(2).take(4).any(|token| is(Some(token), word));
    if written == "character" || written == "char" {
        let varying = is(definition.get(2).copied(), "varying");
        if varying { "varchar" } else { "char" }.clone_into(&mut written);
    } else if matches!(written.as_str(), "timestamp" | "time") && follows("with") && follows("zone") {
        written.push_str("tz");
    }
    Ok(Some((column, written)))
}

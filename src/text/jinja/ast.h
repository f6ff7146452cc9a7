// A parsed template: statements and expressions of Jinja, as far as chat templates use them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace qsweep::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Argument {
  std::string name;  // empty where it is given by its place
  ExprPtr value;
};
using Arguments = std::vector<Argument>;

struct None {};
struct Literal {
  std::variant<None, bool, int64_t, std::string> value;
};
struct Name {
  std::string name;
};
struct ListLiteral {
  std::vector<ExprPtr> items;
};
struct DictLiteral {
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};
struct Attribute {
  ExprPtr of;
  std::string name;
};
struct Index {
  ExprPtr of, key;
};
// of[begin:end:step]; each of the three may be null.
struct Slice {
  ExprPtr of, begin, end, step;
};
struct Call {
  ExprPtr callee;
  Arguments arguments;
};
struct Filter {
  ExprPtr of;
  std::string name;
  Arguments arguments;
};
struct Test {
  ExprPtr of;
  std::string name;
  Arguments arguments;
};
struct Not {
  ExprPtr of;
};
struct Minus {
  ExprPtr of;
};
struct Binary {
  std::string op;
  ExprPtr left, right;
};
// yes if condition else no; without `no` nothing.
struct Choice {
  ExprPtr condition, yes, no;
};

struct Expr {
  std::variant<Literal, Name, ListLiteral, DictLiteral, Attribute, Index, Slice, Call, Filter, Test, Not,
               Minus, Binary, Choice>
      node;
};

struct Statement;
using Block = std::vector<Statement>;

struct Text {
  std::string text;
};
struct Output {
  ExprPtr value;
};
struct If {
  std::vector<std::pair<ExprPtr, Block>> branches;
  Block otherwise;
};
// for targets in list if condition; `otherwise` where nothing was left to iterate over.
struct For {
  std::vector<std::string> targets;
  ExprPtr list, condition;
  Block body, otherwise;
};
// name = value, name.attribute = value, or what `body` renders where there is no value.
struct Set {
  std::string name, attribute;
  ExprPtr value;
  Block body;
};
struct Macro {
  std::string name;
  std::vector<Argument> parameters;  // with their defaults, null where there is none
  Block body;
};
enum class Jump { next, leave };

struct Statement {
  std::variant<Text, Output, If, For, Set, Macro, Jump> node;
};

}  // namespace qsweep::text::jinja

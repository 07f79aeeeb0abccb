// Options of a component: one list of fields reads them, writes them, describes them and checks their ranges.
#pragma once

#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "szar/call.hpp"

SZAR_NAMESPACE_BEGIN

/// What is wrong with options; `szar check` shows every entry with the line in the YAML file.
class Problems {
 public:
  /// `message` goes on after the name of the field: "must lie between 0 and 1, got 2".
  void add(const std::string &field, const std::string &message, const std::string &hint = {}) {
    Json problem{{"field", field}, {"message", message}};
    if (!hint.empty()) problem["hint"] = hint;
    list_.push_back(problem);
  }

  const Json &list() const { return list_; }

 private:
  Json list_ = Json::array();
};

namespace detail {

/// A number as one writes it.
template <class T>
std::string shown(T value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

/// Refuses what is no value for a field.
[[noreturn]] inline void refuse(const std::string &name, const char *want, const Json &got) {
  throw std::invalid_argument("`" + name + "` must be " + want + ", got " + got.dump());
}

inline void convert(const std::string &name, const Json &from, double &to) {
  if (!from.is_number()) refuse(name, "a number", from);
  to = from.get<double>();
}

inline void convert(const std::string &name, const Json &from, int64_t &to) {
  constexpr double EXACT = 9007199254740992.0;  // 2^53: beyond, a double skips whole numbers
  const bool whole = from.is_number_float() && std::abs(from.get<double>()) <= EXACT &&
                     std::floor(from.get<double>()) == from.get<double>();
  const bool small = !from.is_number_unsigned() || from.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
  if (!(from.is_number_integer() && small) && !whole) refuse(name, "a whole number", from);
  to = from.get<int64_t>();
}

inline void convert(const std::string &name, const Json &from, bool &to) {
  if (!from.is_boolean()) refuse(name, "true or false", from);
  to = from.get<bool>();
}

inline void convert(const std::string &name, const Json &from, std::string &to) {
  if (!from.is_string()) refuse(name, "a text", from);
  to = from.get<std::string>();
}

template <class T>
void convert(const std::string &name, const Json &from, std::vector<T> &to) {
  if (!from.is_array()) refuse(name, "a list", from);
  std::vector<T> values;
  for (const auto &one : from) convert(name, one, values.emplace_back());
  to = values;
}

}  // namespace detail

/// Limits of a number; what breaks them is a problem of `szar check` and of `szar run`.
template <class T>
class Limits {
 public:
  Limits(std::string name, T value, Problems *problems) : name_(std::move(name)), value_(value), problems_(problems) {}

  /// Between `low` and `high`, both allowed.
  Limits &between(T low, T high) {
    return must(value_ >= low && value_ <= high,
                "must lie between " + detail::shown(low) + " and " + detail::shown(high));
  }

  /// Larger than `low`.
  Limits &above(T low) { return must(value_ > low, "must be larger than " + detail::shown(low)); }

  /// `low` or larger.
  Limits &at_least(T low) { return must(value_ >= low, "must be at least " + detail::shown(low)); }

  /// `high` or smaller.
  Limits &at_most(T high) { return must(value_ <= high, "must be at most " + detail::shown(high)); }

 private:
  Limits &must(bool holds, const std::string &rule) {
    if (!holds && problems_ != nullptr) problems_->add(name_, rule + ", got " + detail::shown(value_));
    return *this;
  }

  std::string name_;
  T value_;
  Problems *problems_;
};

/// The fields of a configuration. The value a field has in a new configuration is its default; `doc` is what
/// `szar describe` shows: what it is, its unit, its range, and where the default is from.
class Fields {
 public:
  /// A number.
  Limits<double> number(const std::string &name, double &value, const std::string &doc) {
    field(name, value, doc, {{"type", "number"}, {"format", "double"}});
    return {name, value, problems_};
  }

  /// A whole number.
  Limits<int64_t> integer(const std::string &name, int64_t &value, const std::string &doc) {
    field(name, value, doc, {{"type", "integer"}, {"format", "int64"}});
    return {name, value, problems_};
  }

  /// True or false.
  void flag(const std::string &name, bool &value, const std::string &doc) {
    field(name, value, doc, {{"type", "boolean"}});
  }

  /// A text.
  void text(const std::string &name, std::string &value, const std::string &doc) {
    field(name, value, doc, {{"type", "string"}});
  }

  /// A file or folder; relative to the YAML file it stands in, and absolute when the component is built.
  void path(const std::string &name, std::string &value, const std::string &doc) {
    field(name, value, doc, {{"type", "string"}, {"format", "path"}});
  }

  /// One of these words.
  void choice(const std::string &name, std::string &value, const std::vector<std::string> &words,
              const std::string &doc) {
    field(name, value, doc, {{"type", "string"}, {"enum", words}});
    if (problems_ == nullptr) return;
    for (const auto &word : words) {
      if (word == value) return;
    }
    problems_->add(name, "must be one of " + Json(words).dump() + ", got `" + value + "`");
  }

  /// A list of numbers.
  void numbers(const std::string &name, std::vector<double> &value, const std::string &doc) {
    field(name, value, doc, {{"type", "array"}, {"items", {{"type", "number"}, {"format", "double"}}}});
  }

  /// A list of whole numbers.
  void integers(const std::string &name, std::vector<int64_t> &value, const std::string &doc) {
    field(name, value, doc, {{"type", "array"}, {"items", {{"type", "integer"}, {"format", "int64"}}}});
  }

  // What the tables ask of a list of fields; authors need none of it.
  explicit Fields(const Json *given = nullptr, Problems *problems = nullptr) : given_(given), problems_(problems) {}
  const Json &values() const { return values_; }
  const Json &schemas() const { return schemas_; }

 private:
  template <class T>
  void field(const std::string &name, T &value, const std::string &doc, Json schema) {
    if (schemas_.contains(name)) throw std::logic_error("two options are named `" + name + "`");
    if (given_ != nullptr && given_->contains(name)) detail::convert(name, (*given_)[name], value);
    values_[name] = value;
    schema["description"] = doc;
    schema["default"] = value;
    schemas_[name] = schema;
  }

  const Json *given_;
  Problems *problems_;
  Json values_ = Json::object();
  Json schemas_ = Json::object();
};

SZAR_NAMESPACE_END

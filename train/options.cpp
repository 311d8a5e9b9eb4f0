#include "train/options.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>

#include "tensor/file.h"
#include "tensor/nearest_name.h"
#include "train/named_config.h"

namespace tessera {

namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      result += fmt::format("\\u{:04X}", static_cast<int>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string number(double value) {
  if (std::isnan(value)) return "nan";
  std::string text = fmt::format("{}", value);  // the shortest text that reads back as the same number
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

OptionValue convert(const toml::node& node, const std::string& name, const std::string& where) {
  if (const auto* value = node.as_boolean()) return {value->get()};
  if (const auto* value = node.as_integer()) return {static_cast<i64>(value->get())};
  if (const auto* value = node.as_floating_point()) return {value->get()};
  if (const auto* value = node.as_string()) return {value->get()};
  if (const auto* table = node.as_table()) {
    OptionValue::Table values;
    for (const auto& [key, value] : *table) values.push_back({std::string(key.str()), convert(value, name, where)});
    return {std::move(values)};
  }
  const auto* list = node.as_array();
  TESSERA_CHECK(list, "{}: {} has a value that no option takes (a date or a time)", where, name);
  std::vector<OptionValue> values;
  for (const toml::node& element : *list) values.push_back(convert(element, name, where));
  return {std::move(values)};
}

void flatten(const toml::table& table, const std::string& prefix, const std::string& origin,
             std::vector<Setting>& settings) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    const std::string where = fmt::format("{}:{}", origin, node.source().begin.line);
    const toml::table* inner = node.as_table();
    if (inner && !inner->empty()) {
      flatten(*inner, name + ".", origin, settings);
    } else {
      settings.push_back({name, inner ? OptionValue{} : convert(node, name, where), where});
    }
  }
}

// `open`: the files being read, outermost first, so that a circle of bases is found.
std::vector<Setting> parse(const std::string& text, const std::string& origin, const std::filesystem::path& folder,
                           std::vector<std::filesystem::path>& open);

std::vector<Setting> read(const std::filesystem::path& path, std::vector<std::filesystem::path>& open) {
  std::error_code ignored;
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(path, ignored);
  TESSERA_CHECK(std::find(open.begin(), open.end(), canonical) == open.end(), "{}: is its own base", path.string());
  open.push_back(canonical);
  std::vector<Setting> settings = parse(read_file(path), path.string(), path.parent_path(), open);
  open.pop_back();
  return settings;
}

std::vector<Setting> parse(const std::string& text, const std::string& origin, const std::filesystem::path& folder,
                           std::vector<std::filesystem::path>& open) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    fail("{}:{}: {}", origin, error.source().begin.line, error.description());
  }
  std::vector<Setting> settings, own;
  flatten(table, "", origin, own);
  // toml++ sorts keys; errors should come in the order of the text.
  std::stable_sort(own.begin(), own.end(), [](const Setting& a, const Setting& b) {
    const auto line = [](const Setting& s) { return std::stoll(s.where.substr(s.where.rfind(':') + 1)); };
    return line(a) < line(b);
  });
  const auto base = std::find_if(own.begin(), own.end(), [](const Setting& s) { return s.name == "base"; });
  if (base != own.end()) {
    const std::string* name = std::get_if<std::string>(&base->value.data);
    TESSERA_CHECK(name && !name->empty(), "{}: base must be the name of a configuration", base->where);
    const std::filesystem::path beside = folder / *name;
    std::error_code ignored;  // of a name too long for a file
    try {
      settings = read(std::filesystem::is_regular_file(beside, ignored) ? beside : find_config(*name), open);
    } catch (const Error& error) {
      fail("{}: base: {}", base->where, error.what());
    }
    own.erase(base);
  }
  settings.insert(settings.end(), own.begin(), own.end());
  return settings;
}

// The right key in the wrong section comes first.
std::string nearest_option(const std::string& name, const std::vector<Option>& options) {
  const std::string key = name.substr(name.rfind('.') + 1);
  std::vector<std::string> all, with_key;
  for (const Option& option : options) {
    all.push_back(option.name);
    if (option.key() == key) with_key.push_back(option.name);
  }
  return nearest_name(name, with_key.empty() ? all : with_key);
}

}  // namespace

std::string OptionValue::toml() const {
  if (const bool* value = std::get_if<bool>(&data)) return *value ? "true" : "false";
  if (const i64* value = std::get_if<i64>(&data)) return fmt::format("{}", *value);
  if (const double* value = std::get_if<double>(&data)) return number(*value);
  if (const std::string* value = std::get_if<std::string>(&data)) return quoted(*value);
  std::string text;
  const auto append = [&](const std::string& item) { text += (text.empty() ? "" : ", ") + item; };
  if (const auto* list = std::get_if<std::vector<OptionValue>>(&data)) {
    for (const OptionValue& value : *list) append(value.toml());
    return "[" + text + "]";
  }
  if (const auto* table = std::get_if<Table>(&data)) {
    for (const auto& [key, value] : *table)
      if (const std::string written = value.toml(); !written.empty()) append(key + " = " + written);
    return "{" + text + "}";
  }
  return "";
}

std::string Option::section() const {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

std::string Option::key() const {
  return name.substr(name.rfind('.') + 1);  // npos + 1 is 0
}

std::vector<Setting> parse_settings(const std::string& text, const std::string& origin,
                                    const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> open;
  return parse(text, origin, folder, open);
}

std::vector<Setting> read_settings(const std::filesystem::path& config) {
  std::vector<std::filesystem::path> open;
  return read(find_config(config), open);
}

Setting parse_override(const std::string& text) {
  const size_t equals = text.find('=');
  TESSERA_CHECK(equals != std::string::npos && equals > 0, "--set {}: write it as section.key=value", text);
  Setting setting{text.substr(0, equals), {}, "--set"};
  const std::string value = text.substr(equals + 1);
  toml::table table;
  try {
    table = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
    table = toml::table{{"value", value}};
  }
  // "1\nother = 2" would be two keys
  TESSERA_CHECK(table.size() == 1, "--set {}: one value is expected", text);
  setting.value = convert(*table.get("value"), setting.name, "--set");
  return setting;
}

void apply_settings(const std::vector<Setting>& settings, std::vector<Option>& options) {
  for (const Setting& setting : settings) {
    const std::string section = setting.name + ".";
    const bool is_section = std::any_of(options.begin(), options.end(),
                                        [&](const Option& option) { return option.name.starts_with(section); });
    if (is_section) {
      TESSERA_CHECK(std::holds_alternative<std::monostate>(setting.value.data), "{}: {} is a section, not an option",
                    setting.where, setting.name);
      continue;
    }
    const auto option = std::find_if(options.begin(), options.end(),
                                     [&](const Option& candidate) { return candidate.name == setting.name; });
    TESSERA_CHECK(option != options.end(), "{}: unknown option {}; did you mean {}?", setting.where, setting.name,
                  nearest_option(setting.name, options));
    TESSERA_CHECK(option->set(setting.value), "{}: {} must be {}, got {}", setting.where, setting.name,
                  option->expected, setting.value.toml().empty() ? "a section" : setting.value.toml());
  }
}

std::string to_toml(const std::vector<Option>& options) {
  // TOML wants a section's keys together; sections come in the order of their first option, the root first.
  std::vector<std::pair<std::string, std::string>> sections{{"", ""}};
  for (const Option& option : options) {
    auto place = std::find_if(sections.begin(), sections.end(),
                              [&](const auto& known) { return known.first == option.section(); });
    if (place == sections.end()) place = sections.insert(place, {option.section(), ""});
    place->second += fmt::format("{} = {}\n", option.key(), option.get().toml());
  }
  std::string text;
  for (const auto& [name, body] : sections) {
    if (body.empty()) continue;
    if (!text.empty()) text += '\n';
    if (!name.empty()) text += fmt::format("[{}]\n", name);
    text += body;
  }
  return text;
}

}  // namespace tessera

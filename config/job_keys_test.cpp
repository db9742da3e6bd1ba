#include "config/job_keys.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "config/load.hpp"

using namespace exeat;

namespace {

constexpr std::string_view listeners =
    "version: 1\n"
    "listeners:\n"
    "  - {address: \"127.0.0.1:3128\", phase: setup}\n"
    "  - {address: \"127.0.0.1:3129\", phase: agent}\n";

std::expected<config::settings, config::errors> parsed(std::string_view more) {
  return config::parse_settings(std::string(listeners) + std::string(more), "e", "/etc/exeat");
}

std::vector<std::string> errors_of(std::string_view more) {
  std::vector<std::string> out;
  if (const auto settings = parsed(more); !settings) {
    for (const auto& e : settings.error()) out.push_back(e.to_string());
  }
  return out;
}

bool refused(std::string_view more, std::string_view says) {
  const auto errors = errors_of(more);
  CAPTURE(more);
  for (const auto& e : errors) INFO(e);
  return errors.size() == 1 && errors.front().contains(says);
}

}  // namespace

TEST_CASE("a job is read, and shown as it was written") {
  const auto settings = parsed(
      "job:\n"
      "  phases: [setup, {parallel: [agent, mcp]}, report]\n"
      "  state_dir: state\n"
      "  advance_secret_file: /run/secret\n"
      "  hold_policy: false\n"
      "operator_token_file: token\n");
  if (!settings) FAIL(config::to_string(settings.error()));
  const std::vector<std::vector<std::string>> steps{{"setup"}, {"agent", "mcp"}, {"report"}};
  CHECK(settings->job.phases == steps);
  CHECK(settings->job.state_dir == "/etc/exeat/state");
  CHECK(settings->job.advance_secret_file == "/run/secret");
  CHECK_FALSE(settings->job.hold_policy);
  CHECK(settings->operator_token_file == "/etc/exeat/token");
  CHECK(config::show_job_phases(*settings) == "[setup, {parallel: [agent, mcp]}, report]");
}

TEST_CASE("without a job nothing is declared, and a reload is held all the same for jobs that are opened") {
  const auto settings = parsed("job: {state_dir: /var/lib/exeat}\n");
  if (!settings) FAIL(config::to_string(settings.error()));
  CHECK(settings->job.phases.empty());
  CHECK(settings->job.state_dir == "/var/lib/exeat");
  CHECK(settings->job.hold_policy);
  CHECK(config::show_job_phases({}).starts_with("none: no job is declared"));
}

TEST_CASE("what is no order of phases is an error with its place") {
  CHECK(refused("job: {phases: []}\n", "e:5:15: `job.phases`: expected a list of phases"));
  CHECK(refused("job: {phases: setup}\n", "e:5:15: `job.phases`: expected a list of phases"));
  CHECK(refused("job: {phases: [setup, agent, setup]}\n", "e:5:30: the phase stands twice"));
  CHECK(refused("job: {phases: [setup, {parallel: [agent, setup]}]}\n", "the phase stands twice"));
  CHECK(refused("job: {phases: [setup, agent, {parallel: []}]}\n", "{parallel: [agent, mcp]}"));
  CHECK(refused("job: {phases: [setup, agent, {}]}\n", "{parallel: [agent, mcp]}"));
  CHECK(refused("job: {phases: [setup, agent, {paralel: [x]}]}\n", "(did you mean `parallel`?)"));
  CHECK(refused("job: {phases: [setup, agent, [x]]}\n", "expected the name of a phase, found a list"));
  CHECK(refused("job: {phases: [setup, agent], hold_policy: maybe}\n", "`job.hold_policy`"));
  CHECK(refused("job: {phases: [setup, agent], state: x}\n", "unknown key: `state`"));
  CHECK(refused("job: {advance_secret_file: /x}\n", "without `job.phases`"));
}

TEST_CASE("a phase that a listener names and the job does not would never be sealed") {
  CHECK(refused("job: {phases: [setup]}\n",
                "e:4:5: the listener 127.0.0.1:3129 names a phase that is not in the job"));
  CHECK(refused("job: {phases: [setup]}\n", "add it to `job.phases`"));

  config::settings settings;
  settings.job.phases = {{"setup"}, {"agent", "mcp"}};
  CHECK(config::validate(settings).empty());
  config::identity_check any{.kind = config::identity_check::source::any_of};
  any.any_of.push_back(
      {.kind = config::identity_check::source::peer, .peers = {{.uid = 7, .phase = "other"}}});
  any.any_of.push_back({.kind = config::identity_check::source::mtls,
                        .certificates = {{.pattern = "{phase}"}, {.pattern = "x", .phase = "agent"}}});
  settings.listeners[1].identity.push_back(any);
  settings.listeners[1].tls = config::tls_settings{.client_ca = "/ca.pem"};
  const auto errors = config::validate(settings);
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].text == "other");
  CHECK(errors[0].message.contains("an entry of its `identity`"));
  settings.job.phases.clear();
  CHECK(config::validate(settings).empty());
}

TEST_CASE("a phase of the job that the policy does not have is an error, with the nearest one") {
  const auto policy = config::parse_policy("version: 1\nphases: {setup: {}, agent: {}, mcp: {}}\n", "p");
  REQUIRE(policy);
  config::settings settings;
  settings.job.phases = {{"setup"}, {"agent", "mcp"}};
  CHECK(config::check_phases(settings, **policy).empty());
  settings.job.phases.push_back({"agnet"});
  const auto errors = config::check_phases(settings, **policy);
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].nearest == "agent");
  CHECK(errors[0].message.contains("`job.phases` names a phase that p does not have"));
}

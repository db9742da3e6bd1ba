// Bundles of model APIs. All of them are tagged `upload`: a key in the request says whose account it is, so
// whoever brings an attacker's key sends prompts and files to the attacker.
#include "allowlist/bundle_table.hpp"

namespace exeat::allowlist {
namespace {

constexpr bundle_host anthropic[]{
    host("api.anthropic.com", upload, "the API; it takes files and prompts with anybody's key"),
};
constexpr bundle_host openai[]{
    host("api.openai.com", upload, "the API; it takes files and prompts with anybody's key"),
};
constexpr bundle_host google[]{
    host("generativelanguage.googleapis.com", upload,
         "the Gemini API; it takes files and prompts with anybody's key"),
};
constexpr bundle_host mistral[]{
    host("api.mistral.ai", upload, "the API; it takes files and prompts with anybody's key"),
    host("codestral.mistral.ai", upload, "the same for Codestral, with keys of its own"),
};
constexpr bundle_host azure_openai[]{
    {.host = "*.openai.azure.com",
     .max_names = 2,
     .risks = multi_tenant | upload,
     .reason = "the resources of every customer, at most two of them; better name your own in a rule"},
};

constexpr bundle table[]{
    {"anthropic", "the Anthropic API", last_review, anthropic,
     "What Claude Code asks besides (login, telemetry, error reports): it works with an API key alone and "
     "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1."},
    {"openai", "the OpenAI API", last_review, openai,
     "chatgpt.com and auth.openai.com, for a login with a ChatGPT account instead of a key."},
    {"google", "the Gemini API", last_review, google,
     "Vertex AI: name aiplatform.googleapis.com, or the host of its region, and oauth2.googleapis.com."},
    {"mistral", "the Mistral API", last_review, mistral, ""},
    {"azure-openai", "Azure OpenAI", last_review, azure_openai,
     "The login with an Entra ID instead of a key: login.microsoftonline.com."},
};

}  // namespace

std::span<const bundle> model_bundles() noexcept {
  return table;
}

}  // namespace exeat::allowlist

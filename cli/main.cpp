#include "cli/command_line.hpp"

int main(int argc, char** argv) {
  return exeat::cli::run(argc, argv);
}

// What is wrong with the Dockerfile on standard input, as JSON: a list of messages with their lines.
import { readFileSync } from "node:fs";

import utils from "dockerfile-utils";

const ERROR = 1;
const every = {
  deprecatedMaintainer: ERROR,
  directiveCasing: ERROR,
  emptyContinuationLine: ERROR,
  instructionCasing: ERROR,
  instructionCmdMultiple: ERROR,
  instructionEntrypointMultiple: ERROR,
  instructionHealthcheckMultiple: ERROR,
  instructionJSONInSingleQuotes: ERROR,
  instructionWorkdirRelative: ERROR,
};
const found = utils.validate(readFileSync(0, "utf8"), every);
console.log(JSON.stringify(found.map(({ message, range }) => `${range.start.line + 1}: ${message}`)));

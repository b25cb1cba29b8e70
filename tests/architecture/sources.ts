/** Reads the workspace's own sources: files, imports and exported names, from the syntax alone. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface SourceFile {
  /** Relative to the repository. */
  readonly path: string;
  /** `packages/core`, `apps/cli`. */
  readonly home: string;
  readonly lines: number;
  readonly text: string;
  /** Specifiers of imports and re-exports; `typeOnly` ones vanish at run time, `lazy` ones are loaded when they are asked for. */
  readonly imports: readonly { readonly specifier: string; readonly typeOnly: boolean; readonly lazy: boolean }[];
}

/** Every product source (no tests, no generated files) of packages and apps. */
export function sourceFiles(): SourceFile[] {
  return ['packages', 'apps'].flatMap((group) =>
    readdirSync(join(root, group)).flatMap((name) =>
      // A page for browsers is a home of its own inside of its app.
      [`${group}/${name}`, `${group}/${name}/web`].flatMap((home) => walk(join(root, home, 'src')).map((path) => readSource(path, home))),
    ),
  );
}

/** Modules that neither the compiler's projects nor lint look at: what is written to try something out, and then forgotten. */
export function unseenModules(): string[] {
  const inside = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return ['node_modules', 'dist'].includes(entry.name) ? [] : inside(path);
      return /\.[mc]ts$/.test(entry.name) ? [path] : [];
    });
  return ['packages', 'apps', 'bench', 'tests', 'examples', 'scripts'].flatMap(inside);
}

/** The names an entry exports, types among them; `export *` is reported as `* from …`. */
export function exportedNames(path: string): string[] {
  const file = ts.createSourceFile(path, readFileSync(join(root, path), 'utf8'), ts.ScriptTarget.Latest, true);
  const names: string[] = [];
  for (const statement of file.statements) {
    if (ts.isExportDeclaration(statement)) {
      const clause = statement.exportClause;
      if (!clause) names.push(`* from ${statement.moduleSpecifier?.getText(file) ?? '?'}`);
      else if (ts.isNamespaceExport(clause)) names.push(clause.name.text);
      else names.push(...clause.elements.map((element) => element.name.text));
    } else if (ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword)) {
      const { name } = statement as { name?: ts.Identifier };
      if (name) names.push(name.text);
      else if (ts.isVariableStatement(statement)) names.push(...statement.declarationList.declarations.map((d) => d.name.getText(file)));
    }
  }
  return names.sort();
}

/** The file a relative specifier means, as a repository path. */
export function resolveRelative(from: string, specifier: string): string {
  const path = relative(root, join(root, dirname(from), specifier)).replaceAll('\\', '/');
  const typescript = path.replace(/\.js$/, '.ts');
  return existsSync(join(root, typescript)) ? typescript : path.replace(/\.js$/, '.tsx');
}

function walk(folder: string): string[] {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'generated' ? [] : walk(path);
    return /(?<!\.test|\.d)\.tsx?$/.test(entry.name) ? [path] : [];
  });
}

function readSource(absolute: string, home: string): SourceFile {
  const text = readFileSync(absolute, 'utf8');
  const file = ts.createSourceFile(absolute, text, ts.ScriptTarget.Latest, false);
  const imports: { specifier: string; typeOnly: boolean; lazy: boolean }[] = [];
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
      imports.push({ specifier: (node.moduleSpecifier as ts.StringLiteral).text, typeOnly: isTypeOnly(node), lazy: false });
    }
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument && ts.isStringLiteral(argument)) imports.push({ specifier: argument.text, typeOnly: false, lazy: true });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  const path = relative(root, absolute).replaceAll('\\', '/');
  return { path, home, lines: text.split('\n').length - 1, text, imports };
}

function isTypeOnly(node: ts.ImportDeclaration | ts.ExportDeclaration): boolean {
  if (ts.isExportDeclaration(node)) {
    const { exportClause } = node;
    const all = exportClause && ts.isNamedExports(exportClause) && exportClause.elements.every((element) => element.isTypeOnly);
    return node.isTypeOnly || (all ?? false);
  }
  const clause = node.importClause;
  if (!clause) return false;
  if (clause.isTypeOnly) return true;
  const named = clause.namedBindings;
  return !clause.name && !!named && ts.isNamedImports(named) && named.elements.every((element) => element.isTypeOnly);
}

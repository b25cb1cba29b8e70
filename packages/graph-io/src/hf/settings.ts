/** What a row of an architecture's table may say: a value, or how to read it from a config. */
import { type ActivationName, activations } from './blocks/activation.js';
import type { Fields } from './fields.js';

export type Setting<T> = T | ((config: Fields) => T);

/** The value for one config; `fallback` when the row says nothing. */
export function settle<T extends Plain, F = undefined>(config: Fields, setting: Setting<T> | undefined, fallback?: F): T | F {
  if (setting === undefined) return fallback as F;
  return typeof setting === 'function' ? (setting as (config: Fields) => T)(config) : setting;
}

/** Anything but a function. */
type Plain = number | boolean | string | object | undefined;

/** true or false under `name`. */
export function flag(name: string, usual: boolean): (config: Fields) => boolean {
  return (config) => config.boolean(name, usual);
}

/** A number above 0 under `name`. */
export function factor(name: string, usual: number): (config: Fields) => number {
  return (config) => config.positive(name, usual);
}

/** The same where null means that there is none; `usual` where nothing is said. */
export function cap(name: string, usual?: number): (config: Fields) => number | undefined {
  return (config) => config.nullable(name, (name) => config.positive(name), usual);
}

/** An activation by its name under `name`. */
export function activation(name: string, usual: ActivationName): (config: Fields) => ActivationName {
  return (config) => config.choice(name, activations, usual);
}

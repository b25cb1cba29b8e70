#!/usr/bin/env node
// In git, unlike dist: package managers link a command when they install, before anything is built.
import '../dist/main.js';

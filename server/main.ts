#!/usr/bin/env node
import { hideBin } from 'yargs/helpers';
import { runCommandLine } from './command-line.ts';
import { loadConfig } from './config.ts';

process.exit(await runCommandLine(hideBin(process.argv), () => loadConfig(), process));

// The section `agent` of the configuration file.
import { absolutePath, httpsAddress, longestWaitSeconds, oneLine } from './config-schema-values.ts';

export const agentSection = {
  type: ['object', 'null'],
  description: 'Where `migrate agent` looks for the go-ahead. One of `watch`, `url` and `device_variables`.',
  properties: {
    watch: {
      type: ['string', 'null'],
      pattern: absolutePath,
      description: 'A file, or a directory in which `go-ahead.json` appears; the report is written beside it.',
      examples: ['/etc/balena-migrate.d'],
    },
    url: {
      type: ['string', 'null'],
      pattern: httpsAddress,
      description:
        'An https address that answers with the go-ahead; `{device}` in it stands for the name of the device.',
      examples: ['https://fleet.example.com/go-ahead/{device}'],
    },
    device_variables: {
      type: ['boolean', 'null'],
      default: false,
      description:
        'Whether the go-ahead is the device variable `MIGRATE_GO_AHEAD` in the dashboard. It takes `uuid` and `deviceApiKey` in config.json.',
      examples: [true],
    },
    report_url: {
      type: ['string', 'null'],
      pattern: httpsAddress,
      description: 'An https address that each report is posted to as JSON; `{device}` as in `url`.',
      examples: ['https://fleet.example.com/reports/{device}'],
    },
    token_file: {
      type: ['string', 'null'],
      pattern: oneLine,
      description:
        'File with the bearer token for `url` and `report_url`; a relative path starts in `migrate.work_dir`.',
      examples: ['fleet.token'],
    },
    device: {
      type: ['string', 'null'],
      pattern: oneLine,
      description:
        'Name of this device in go-aheads; left out: the `uuid` of config.json, else /etc/machine-id. `migrate agent status` prints it.',
      examples: ['till-17'],
    },
    require_plan: {
      type: ['boolean', 'null'],
      default: false,
      description: 'Whether a go-ahead must name the plan too, as an earlier report did.',
      examples: [true],
    },
    interval: {
      type: ['integer', 'null'],
      minimum: 5,
      maximum: longestWaitSeconds,
      default: 300,
      description: 'Seconds between two looks.',
      examples: [60],
    },
  },
  additionalProperties: false,
} as const;

// Keys that begin with their vendor's prefix and go on with random characters: prefix and the least length of the rest.

/** What follows has letters and digits only. */
const PLAIN: [string, number][] = [
  ['sess-', 30],
  ['pplx-', 32],
  ['csk-', 32],
  ['glptt-', 32],
  ['r8_', 32],
  ['fw_', 20],
  ['gsk_', 40],
  ['xai-', 60],
  ['ntn_', 40],
  ['secret_', 40],
  ['lin_api_', 32],
  ['dop_v1_', 40],
  ['doo_v1_', 40],
  ['dor_v1_', 40],
  ['dapi', 32],
  ['rubygems_', 40],
  ['shpat_', 32],
  ['shpca_', 32],
  ['shppa_', 32],
  ['shpss_', 32],
  ['sbp_', 40],
  ['nfp_', 32],
  ['sk_', 40],
  ['AC', 32],
  ['SK', 32],
  ['NRAK-', 24],
  ['NRII-', 24],
  ['AGE-SECRET-KEY-1', 50],
  ['dp.pt.', 40],
  ['dp.st.', 40],
  ['tfp_', 40],
];

/** What follows may have `_`, `-` and the like too. */
const WIDE: [string, number][] = [
  ['nvapi-', 40],
  ['tvly-', 20],
  ['glrt-', 20],
  ['gldt-', 20],
  ['glcbt-', 20],
  ['xapp-', 40],
  ['xoxe.xoxp-', 40],
  ['xkeysib-', 60],
  ['bce-v3/', 40],
  ['AKLT', 30],
  ['GOCSPX-', 20],
  ['pcsk_', 40],
  ['sk-lf-', 30],
  ['pk-lf-', 30],
  ['lsv2_', 32],
  ['sq0atp-', 20],
  ['sq0csp-', 20],
  ['EAA', 55],
  ['ATATT3', 60],
  ['ATCTT3', 60],
  ['figd_', 32],
  ['hvs.', 24],
  ['hvb.', 24],
  ['PMAK-', 40],
  ['glsa_', 32],
  ['glc_', 40],
  ['sntrys_', 40],
  ['sntryu_', 40],
  ['pscale_tkn_', 32],
  ['pscale_pw_', 32],
  ['dckr_pat_', 20],
  ['fm1_', 40],
  ['fm2_', 40],
  ['sl.', 100],
  ['cupel-', 40],
];

/** A text that must be there, and the pattern whose first group stays. */
export const PREFIXED: [string, RegExp][] = [
  ...PLAIN.map((entry) => shape(entry, '[A-Za-z0-9]')),
  ...WIDE.map((entry) => shape(entry, '[A-Za-z0-9_/=+.-]')),
];

function shape([prefix, least]: [string, number], rest: string): [string, RegExp] {
  const literal = prefix.replace(/[./]/g, '\\$&');
  // random characters have a digit among them, names rarely
  return [prefix, new RegExp(`(?<![A-Za-z0-9])(${literal})(?!REDACTED-)(?=${rest}*\\d)${rest}{${least},}`, 'g')];
}

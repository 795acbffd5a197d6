/* The element that the name of a site stands for. */

import { Refusal, needsProgram } from "./cell.js";

/* Up to the last element that sentences have. */
export const ELEMENTS = (
  "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As " +
  "Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu " +
  "Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np " +
  "Pu Am Cm Bk Cf Es Fm Md No Lr"
).split(" ");

/** Return {element, flags} of a type symbol or label such as Fe, Fe2+, Fe1 or O1A.
 *
 * D and T are hydrogen. Names with more letters than a symbol's are left to the Python
 * program, which knows water, hydroxyl and other groups; so are two capitals that may be
 * one symbol, as CU for copper, or a dummy, as VA.
 *
 * @param symbol the text.
 * @param where for the message.
 */
export function elementOf(symbol, where) {
  const found = /^([A-Z][a-z]?)(\d*\.?\d*[+-]|[+-]\d*|\d*[A-Z]?\d*)$/.exec(symbol);
  const decorated = found && /[+-]\d?$/.test(symbol) ? ["decorated"] : [];
  const pair = /^[A-Z]{2}/.exec(symbol)?.[0];
  const isOne = pair && (pair === "VA" || pair === "BQ" || ELEMENTS.includes(pair[0] + pair[1].toLowerCase()));
  if (found && !isOne && ELEMENTS.includes(found[1])) {
    return { element: found[1], flags: decorated };
  }
  if (/^(D\d*|T)[+-]?$/.test(symbol)) {
    return { element: "H", flags: ["isotope", ...decorated] };
  }
  if (!/[A-Za-z]/.test(symbol)) {
    throw new Refusal("unknown_species", `${where}: found '${symbol}', expected an element`);
  }
  throw needsProgram(`${where} has the species '${symbol.slice(0, 20)}'`);
}

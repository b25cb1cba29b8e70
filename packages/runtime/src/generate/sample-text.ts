/** A text on which it is seen how large the keys and values of a model become: prose, talk, code, figures and several scripts. */

/** How many of its tokens are read at most. */
export const SAMPLE_TOKENS = 160;

export const SAMPLE_TEXT = `The harbour was quiet that morning. Anna counted the boats, wrote "17" into her notebook and waited for the fog to lift; nobody had told her that the ferry would be late.
"Are you coming?" he asked. "In a minute," she said, "if you bring me a cup of tea."
function area(radius) { return Math.PI * radius ** 2; } // 3.14159
{"city": "Lübeck", "visitors": [1204, 988, 1431], "open": true}
Der Zug fährt um 8:45 Uhr ab. ¿Dónde está la biblioteca? Il pleut depuis trois jours. Сегодня холодно. 今日は天気がいいです。 你好,世界!
1. Boil the water. 2. Add 250 g of rice. 3. Stir, then wait 12 minutes.
`;
